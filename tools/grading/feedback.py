"""Pages for students, an overview for the lecturer, and a picture of the class."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from coursekit.figures import COLOURS, Picture, show
from coursekit.checks.lab import Lab

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111; }
table { border-collapse: collapse }
td, th { padding: .3rem .7rem; border-bottom: 1px solid #bbb; text-align: left; vertical-align: top }
td.n { text-align: right }
pre { white-space: pre-wrap; background: #f4f4f4; padding: .7rem }
img { max-width: 100% }
"""
_STATES = {"right": "right", "wrong": "not right", "open": "not answered", "failed": "could not be judged"}


def write(output: Path, results: list[dict], lab: Lab) -> None:
    """Write ``feedback/*.html``, ``index.html``, ``class.png`` and ``written.html`` below ``output``."""
    pages = output / "feedback"
    pages.mkdir(parents=True, exist_ok=True)
    for result in results:
        (pages / f"{result['key']}.html").write_text(student_page(result, lab), encoding="utf-8")
    picture = class_picture(results, lab)
    picture.save(output / "class.png")
    (output / "index.html").write_text(_overview(results, lab, picture), encoding="utf-8")
    (output / "written.html").write_text(_written(results, lab), encoding="utf-8")


def student_page(result: dict, lab: Lab) -> str:
    """Return the page for one student: points and hints per question, what went wrong with the notebook."""
    rows = []
    for question in lab.questions.values():
        verdict = result["verdicts"].get(question.name)
        if question.check is None:
            state, points = "read by your teacher", f"&ndash; of {question.points}"
        elif verdict is None:
            state, points = "not graded", f"0 of {question.points}"
        else:
            state = _STATES[verdict["state"]] + (f": {escape(verdict['text'])}" if verdict["text"] else "")
            points = f"{verdict['points']} of {question.points}"
        rows.append(
            f"<tr><td>{question.name}</td><td>{escape(question.title)}</td><td>{points}</td><td>{state}</td></tr>"
        )
    body = [
        f"<h1>{escape(lab.name)}: {escape(lab.title)}</h1>",
        f"<p>{escape(result['name'])}: <b>{result['points']} of {_most(lab)} points</b> by the checks.</p>",
        "<table><tr><th>question</th><th></th><th>points</th><th>result</th></tr>",
        *rows,
        "</table>",
    ]
    if result["problems"]:
        items = "".join(f"<li>{escape(problem)}</li>" for problem in result["problems"])
        body.append(f"<h2>What happened when your notebook ran</h2><ul>{items}</ul>")
    return _page(f"{lab.name}: {result['name']}", body)


def class_picture(results: list[dict], lab: Lab) -> Picture:
    """Draw how points are distributed, and which share of the class has each question right."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    most = _most(lab)
    left.hist([result["points"] for result in results], bins=np.arange(most + 2) - 0.5, color=COLOURS[0])
    left.set(xlabel=f"points of {most}", ylabel="submissions", xlim=(-0.7, most + 0.7))
    left.yaxis.get_major_locator().set_params(integer=True)
    shares = {
        question.name: 100 * np.mean([_is_right(result, question.name) for result in results])
        for question in lab.questions.values()
        if question.check
    }
    hardest = min(shares, key=shares.get)
    colours = [COLOURS[1] if name == hardest else COLOURS[0] for name in shares]
    bars = right.bar(list(shares), list(shares.values()), color=colours)
    right.bar_label(bars, fmt="{:.0f}", padding=2)
    right.set(ylabel="right (%)", ylim=(0, 112), title=f"hardest: {hardest}")
    mean = np.mean([result["points"] for result in results])
    listed = ", ".join(f"{name} {share:.0f} %" for name, share in shares.items())
    return show(
        figure,
        alt=f"Left: how many of {len(results)} submissions reached how many of {most} points; the mean is {mean:.1f}. "
        f"Right: the share of right answers: {listed}. The hardest is {hardest}.",
    )


def _overview(results: list[dict], lab: Lab, picture: Picture) -> str:
    checked = [question.name for question in lab.questions.values() if question.check]
    head = "".join(f"<th>{name}</th>" for name in checked)
    rows = [
        f'<tr><td><a href="feedback/{result["key"]}.html">{escape(result["name"])}</a></td>'
        f'<td class="n">{result["points"]}</td>'
        + "".join(f'<td class="n">{result["verdicts"].get(name, {}).get("points", 0)}</td>' for name in checked)
        + f"<td>{escape('; '.join(result['problems'])[:300])}</td></tr>"
        for result in results
    ]
    return _page(
        f"{lab.name}: overview",
        [
            f"<h1>{escape(lab.name)}: {escape(lab.title)}</h1>",
            f'<p><img src="class.png" alt="{escape(picture.alt)}"></p>',
            '<p><a href="written.html">Answers to be read</a>, <a href="grades.csv">table</a></p>',
            f"<table><tr><th>submission</th><th>points of {_most(lab)}</th>{head}<th>problems</th></tr>",
            *rows,
            "</table>",
        ],
    )


def _written(results: list[dict], lab: Lab) -> str:
    body = [f"<h1>{escape(lab.name)}: answers to be read</h1>"]
    for question in lab.questions.values():
        if question.check is None:
            body.append(f"<h2>{question.name}: {escape(question.title)} ({question.points} points)</h2>")
            for result in results:
                answer = result["written"].get(question.name)
                text = f"<pre>{escape(answer)}</pre>" if answer else "<p>(no answer)</p>"
                body.append(f"<h3>{escape(result['name'])}</h3>{text}")
    return _page(f"{lab.name}: answers to be read", body)


def _page(title: str, body: list[str]) -> str:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"


def _most(lab: Lab) -> int:
    return sum(question.points for question in lab.questions.values() if question.check)


def _is_right(result: dict, question: str) -> bool:
    return result["verdicts"].get(question, {}).get("state") == "right"
