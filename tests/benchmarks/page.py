"""The page of measured results: runs benchmarks, keeps what they print, and writes their tables into docs/measured.md.

    python tests/benchmarks/page.py [--cifar DIR] [--photos DIR] [fit stress ...]

In the page, a line ``<!-- measured: fit -->`` says which results stand between it and ``<!-- end -->``; the text around
is written by hand. Without names, all are run whose data are here: ``DIR`` in a command stands for such a folder.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE = Path("docs") / "measured.json", Path("docs") / "measured.md"
OSU = "benchmarks/cifar10.py --train CIFAR --network osu"
STRESS = ("kill", "badimages", "downloads", "surroundings", "together")
COMMANDS = {
    "transfer": "benchmarks/transfer.py --critters --network resnet18 --seeds 5 --sizes 200 --check",
    "photos": "benchmarks/transfer.py --train PHOTOS/train --test PHOTOS/test --sizes 100,200,400,800",
    "imagenet": "benchmarks/transfer.py --network efficientnet_lite0 --train PHOTOS/train --test PHOTOS/test",
    "features": "benchmarks/features.py",
    "cifar_osu": OSU,
    "cifar_osu_bn": f"{OSU} --batch-norm",
    "cifar_osu_bn_do": f"{OSU} --batch-norm --dropout",
    "cifar_recipe": "benchmarks/cifar10.py --train CIFAR --epochs 5",
    "cifar_until_osu": f"{OSU} --batch-norm --dropout --until 0.795 --epochs 40",
    "cifar_until_recipe": "benchmarks/cifar10.py --train CIFAR --until 0.795",
    "fit": "benchmarks/fit.py",
    "fit_large": "benchmarks/fit.py --width 3 --epochs 1",
    "correlation": "benchmarks/correlation.py",
    "folders": "benchmarks/folders.py",
    "critters": "benchmarks/critters.py",
    "grading": "benchmarks/grading.py",
    "course": "benchmarks/course.py --notebooks --commands run test site",
    "growth": "benchmarks/growth.py --grading",
    **{f"stress_{name}": f"stress/{name}.py" for name in STRESS},
}
SHARES = {"accuracy", "scratch", "frozen", "partial", "fine_tuned"}  # shown as per cent
OMITTED = {"cpu_seconds", "network", "threads", "torch"}  # the table, or what stands below it, says so already
NAMES = {"wall_s": "seconds", "size": "pixels a side", "limit": "one convolution alone, times as fast in bfloat16"}


def measure(root: Path, folders: dict[str, str], only: list[str]) -> int:
    """Run what was asked for, keep the results of what succeeds, renew the page; return the exit code."""
    failed = 0
    for key, command in COMMANDS.items():
        needs = {name for name in ("CIFAR", "PHOTOS") if name in command}
        if needs - folders.keys() or (only and not {key, key.partition("_")[0]} & {*only}):
            continue
        words = f"tests/{command}".split()
        for name in needs:
            words = [word.replace(name, folders[name]) for word in words]
        print(f"{key} ... ", end="", flush=True)
        done = subprocess.run([sys.executable, *words], cwd=root, stdout=subprocess.PIPE, text=True, check=False)
        results = json.loads((root / RESULTS).read_text(encoding="utf-8"))
        if done.returncode and key in results:
            results[key]["failed"] = today()
        elif not done.returncode:
            results[key] = {"result": json.loads(done.stdout.splitlines()[-1]), **circumstances()}
        failed = failed or done.returncode
        print(f"FAILED with exit code {done.returncode}" if done.returncode else "ok")
        (root / RESULTS).write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n", encoding="utf-8")
        page = (root / PAGE).read_text(encoding="utf-8")
        (root / PAGE).write_text(renew(page, results), encoding="utf-8")
    return int(bool(failed))


def renew(page: str, results: dict) -> str:
    """Return the page with the results in the places that are marked for them."""

    def part(mark: re.Match) -> str:
        measured = {key: results[key] for key in mark[2].split() if key in results}
        return "\n\n".join([mark[1], *(_part(measured) if measured else []), "<!-- end -->"])

    return re.sub(r"(<!-- measured: ([\w ]+) -->)\n.*?<!-- end -->", part, page, flags=re.DOTALL)


def _part(measured: dict) -> Iterator[str]:
    """Yield a table, the commands, and under which circumstances they ran."""
    beside = {}
    if all("rows" in one["result"] for one in measured.values()):  # stress tests count what happened
        head = ("what was done", "how often", "what happened")
        rows = [row for one in measured.values() for row in one["result"]["rows"]]
    else:
        several = len(measured) > 1
        named = [(one["result"].get("network", key) * several, one["result"]) for key, one in measured.items()]
        found = [row for name, result in named for row in _rows(result, name)]
        beside = found.pop(0)[1] if len(found) > 1 and not found[0][0] else {}
        if len(found) == 1:
            found = [(name, {"value": value}) for name, value in found[0][1].items()]
        columns = list(dict.fromkeys(column for _, row in found for column in row))
        head = ("what", *(_name(column, "{} pictures") for column in columns))
        cells = [[_cell(row.get(column, ""), name, column) for column in columns] for name, row in found]
        rows = [(_name(name, "kernel {0} x {0}"), *row) for (name, _), row in zip(found, cells, strict=True)]
    yield "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in [head, ["---"] * len(head), *rows])
    if beside:
        yield ", ".join(f"{_name(name)}: {_cell(value)}" for name, value in beside.items()) + "."
    commands = [f"python tests/{COMMANDS[key]}".replace("CIFAR", "DIR").replace("PHOTOS", "DIR") for key in measured]
    threads = [f"OMP_NUM_THREADS={one['threads']} " if "threads" in one else "" for one in measured.values()]
    yield "```sh\n" + "\n".join(map("".join, zip(threads, commands, strict=True))) + "\n```"
    yield from dict.fromkeys(f"{one['date']}; {one['machine']}; {one['versions']}." for one in measured.values())
    for key, one in measured.items():
        if "failed" in one:
            yield f"**`{key}` failed on {one['failed']}**: its rows are of the last run that did not."


def _rows(result: dict, name: str = "") -> Iterator[tuple[str, dict]]:
    """Yield the rows of nested results: name, and values by column. What stands beside tables is a row without name."""
    nested = {key: value for key, value in result.items() if isinstance(value, dict)}
    if plain := {key: value for key, value in result.items() if key not in nested.keys() | OMITTED}:
        yield name, plain
    for key, value in nested.items():
        parts = [name, key] if len(nested) > 1 or not any(isinstance(one, dict) for one in value.values()) else [name]
        yield from _rows(value, ": ".join(filter(None, parts)))


def _name(text: str, number: str = "{}") -> str:
    parts = [number.format(part) if part.isdecimal() else NAMES.get(part, part) for part in text.split(": ")]
    return re.sub(r"_(seconds|minutes)", r", \1", ": ".join(parts)).replace("_", " ").replace("osu", "OSU")


def _cell(value: object, row: str = "", column: str = "") -> str:
    names = {*row.split(": "), column}
    if isinstance(value, list):
        return (" to " if "quartiles" in column else ", ").join(_cell(one, row, column) for one in value)
    if not isinstance(value, int | float):
        return str(value)
    if names & SHARES:
        return f"± {100 * value:.1f} points" if "spread" in names else f"{100 * value:.1f} %"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{3 if 'seconds' in names else 4}g}"


def circumstances() -> dict[str, str]:
    """Say when, on which machine and with which versions this runs."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        processor = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, flags=re.MULTILINE)[1]
    except (OSError, TypeError):
        processor = platform.machine()
    installed = {found.name: found.version for found in metadata.distributions()}
    packages = ("torch", "torchvision", "numpy", "scipy", "lightning", "fastai")
    threads = os.environ.get("OMP_NUM_THREADS")
    return {
        "date": today(),
        "machine": f"{processor}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {installed[name]}" for name in packages if name in installed),
        **({"threads": threads} if threads else {}),
    }


def today() -> str:
    """Return the date."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="keys of measurements, or how several begin, such as stress")
    parser.add_argument("--cifar", metavar="DIR", help="the folder with CIFAR-10's class folders")
    parser.add_argument("--photos", metavar="DIR", help="a folder with photos in train/CLASS and test/CLASS")
    options = parser.parse_args()
    given = {"CIFAR": options.cifar, "PHOTOS": options.photos}
    sys.exit(measure(ROOT, {name: folder for name, folder in given.items() if folder}, options.names))
