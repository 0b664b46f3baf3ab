"""Measured seconds and memory of each notebook: one file, from which the README's table and `setup` take them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

from tools.execute import Result

COSTS = Path("coursekit") / "costs.json"


def record(root: Path, results: list[Result]) -> None:
    """Write what was measured, rounded up (5 s, 50 MB), into ``coursekit/costs.json``, and renew the README's table."""
    path = root / COSTS
    known = json.loads(path.read_text(encoding="utf-8"))
    for result in results:
        known[result.name] = {
            "seconds": 5 * math.ceil(result.seconds / 5),
            "megabytes": 50 * math.ceil(result.megabytes / 50),
        }
    path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    readme = root / "README.md"
    readme.write_text(update_table(readme.read_text(encoding="utf-8"), known), encoding="utf-8")


def update_table(text: str, known: dict[str, dict[str, int]]) -> str:
    """Put the seconds into the last column of each table row that links to a notebook with known costs."""

    def renew(row: re.Match) -> str:
        cost = known.get(row["name"])
        return f"{row['start']} {cost['seconds']} |" if cost else row[0]

    pattern = r"^(?P<start>\|.*\(notebooks/(?P<name>\w+)\.ipynb\).*\|)[^|]*\|$"
    return re.sub(pattern, renew, text, flags=re.MULTILINE)
