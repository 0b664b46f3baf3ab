"""The parts of the site's pages that are computed: tables of lectures, their needs, remarks on slides, run times."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from math import log10
from pathlib import Path

from coursekit.runtime import known_costs
from tools import launch, summary

_LECTURES = {
    "CS3485": "CS3485 (transfer learning, residual networks)",
    "TU/e": "TU/e (J. Vanschoren: convolutional networks)",
    "IMPA": "IMPA (D. Yukimura: images, colorization)",
    "UIUC": "UIUC (CS441: batch norm, ResNet, detection)",
    "OSU": "OSU (ECE 5307, P. Schniter: convolutional networks)",
}


class Course:
    """Where the course's files lie: its root, the lectures' notebooks, and the labs' student versions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notebooks = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
        self.labs = sorted((root / launch.STUDENT_LABS).glob("*.ipynb"))

    def summaries(self) -> list[summary.Summary]:
        """Return what each lecture's notebook says about itself."""
        return [summary.read(path) for path in self.notebooks]


def lectures(course: Course) -> str:
    """Return a table of the lectures: page, question, minutes, slides, and where else to open it."""
    place = launch.fork(course.root)
    rows = []
    for path in course.notebooks:
        one = summary.read(path)
        rows.append((_page(one), one.question, str(one.minutes or ""), _deck(one), *_colab(place, path, course)))
    head = ("lecture", "question", "minutes", "to project", *(["to run"] if place.name else []))
    return _table(head, rows) + ("" if place.name else f"\n\n*{launch.NO_ADDRESS}*")


def labs(course: Course) -> str:
    """Return the list of the labs' student versions."""
    place = launch.fork(course.root)
    rows = []
    for path in course.labs:
        one = summary.read(path)
        title = f"[{one.title}](labs/{path.name})"
        rows.append((title, one.question, str(one.minutes or ""), *_colab(place, path, course)))
    head = ("lab", "question", "minutes", *(["to run"] if place.name else []))
    return _table(head, rows) if rows else "There are none yet."


def lab_pages(course: Course) -> str:
    """Return the side bar's list of labs; nothing where there are none."""
    return "```{toctree}\n:hidden:\n:caption: Labs\n:glob:\n\nlabs/*\n```" if course.labs else ""


def needs(course: Course, number: str) -> str:
    """Return what one lecture needs, read from its notebook: time, prerequisites, objectives, machine."""
    found = [one for one in course.summaries() if one.name.startswith(f"{number}_")]
    if not found:
        return "*This notebook is not part of the course yet.*"
    one, cost, machine = found[0], known_costs().get(found[0].name), "not measured yet"
    if cost:
        machine = f"{cost['seconds']} s and {cost['megabytes']} MB of memory on two CPU cores (mini)"
    objectives = "\n".join(f"  - {objective}" for objective in one.objectives)
    return (
        f"{_page(one)}, {_deck(one)}. *{one.question}*\n\n"
        f"- **Time**: {one.minutes} minutes with the questions; {one.predictions} places to stop and ask.\n"
        f"- **Prerequisites**: {one.needs}.\n- **Machine**: {machine}.\n- **Afterwards students can**\n{objectives}"
    )


def run_times(course: Course) -> str:
    """Return the table of seconds and memory that `make costs` measured."""
    costs = known_costs()
    measured = [(one, costs[one.name]) for one in course.summaries() if one.name in costs]
    rows = [(_page(one), str(cost["seconds"]), str(cost["megabytes"])) for one, cost in measured]
    return _table(("notebook", "seconds", "peak memory, MB"), rows)


def slips(course: Course) -> str:
    """Return all remarks on slides, by lecture, each with the place that it stands at."""
    parts = []
    found = [(one, remark) for one in course.summaries() for remark in one.remarks]
    for lecture, title in _LECTURES.items():
        items = [
            f"- {remark.text} ({_page(one, '#' + remark.heading.replace(' ', '-'))}, “{remark.heading}”)"
            for one, remark in found
            if lecture in remark.lectures
        ]
        if items:
            parts.append(f"## {title}\n\n" + "\n".join(items))
    return "\n\n".join(parts)


def measured(course: Course) -> str:
    """Return what the page of measured results begins with: a chart of what is faster than what, and five sentences."""
    results = json.loads((course.root / "docs" / "measured.json").read_text(encoding="utf-8"))
    found = {key: entry["result"] for key, entry in results.items()}
    seconds, fit = found["features"]["seconds"], found["fit"]["contenders"]
    folders, photos = found["folders"]["times_as_fast"]["ImageFolder, 0 workers"], found["imagenet"]
    correlation = found["correlation"]["times_of_scipy_direct"]["7"]
    slow, quick = found["cifar_until_osu"], found["cifar_until_recipe"]
    bare = fit["fit, same loader"]["wall_ratio"]
    cached = seconds["cache, float32"]
    bars = {
        "a folder of photos, second epoch and later (ImageFolder)": folders["later"],
        "a new head on VGG16, features computed once (the lecture's loop)": seconds["lecture"] / cached,
        "correlation with a 7 x 7 kernel (SciPy, direct)": 1 / correlation["package"],
        "a folder of photos, first epoch (ImageFolder)": folders["first"],
        "training (fastai)": fit["fastai"]["wall_ratio"] / bare,
        "training (Lightning)": fit["lightning"]["wall_ratio"] / bare,
        "training (a bare loop)": 1 / bare,
    }
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td><span style="--log: {max(0.01, log10(times)):.2f}"></span>'
        f"{times:.{0 if times >= 10 else 1 if times >= 2 else 2}f}</td></tr>"
        for name, times in bars.items()
    )
    chart = '<table class="bars"><caption>How many times as fast as what you would use instead (in brackets). Each bar '
    return f"""{chart}grows by the same length where the number doubles.</caption>{rows}</table>

Training with `fit` takes {bare:.2f} times as long as a bare loop. Where nothing of the body learns, its features are
computed once: {cached:.1f} seconds in place of {seconds["lecture"]:.0f}. Photos are read once and stay in memory, so
that later epochs open no file. On CIFAR-10 the course's recipe reaches {quick["accuracy"]:.1%} in
{quick["seconds"]:.0f} seconds; the lecture's network, with batch norm and dropout, has {slow["accuracy"]:.1%} after
{slow["epochs"]} epochs and {slow["seconds"] / 60:.0f} minutes. And 20 photos of cats and dogs are enough for
{photos["frozen"]["20"]:.1%} with a network that knows ImageNet."""


def _page(one: summary.Summary, anchor: str = "") -> str:
    return f"[{one.title}](notebooks/{one.name}.ipynb{anchor})"


def _deck(one: summary.Summary) -> str:
    return f'<a href="slides/{one.name}.html">slides</a>'


def _colab(place: launch.Fork, path: Path, course: Course) -> list[str]:
    return [f"[Colab]({launch.colab(place, path.relative_to(course.root))})"] if place.name else []


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, tuple("---" for _ in head), *rows])


INSERTS: dict[str, Callable[..., str]] = {
    "labpages": lab_pages,
    "labs": labs,
    "lectures": lectures,
    "measured": measured,
    "needs": needs,
    "runtimes": run_times,
    "slips": slips,
}
