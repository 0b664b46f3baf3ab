"""The page of reports: each is told in full, and the test that holds it exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LINES = (TESTS / "reports.md").read_text(encoding="utf-8").splitlines()
ROWS = [line.strip("| ").split(" | ") for line in LINES if re.match(r"\| [A-Z]\d+ \|", line)]


def test_all_reports_are_there_once():
    found = [row[0] for row in ROWS]
    groups = {"D": 1, "T": 10, "F": 4, "A": 5, "C": 2, "N": 2, "P": 9, "G": 7}
    assert found == [f"{group}{number}" for group, last in groups.items() for number in range(1, last + 1)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_report_says_what_was_found_and_done_and_names_its_tests(row):
    assert len(row) == 4
    assert all(row)
    references = re.findall(r"`([\w/]+\.py)::([^`]+)`", row[3])
    assert references
    for file, name in references:
        text = (TESTS / file).read_text(encoding="utf-8")
        assert f"def {name}(" in text or f'"{name}"' in text, f"{file} has no {name}"
