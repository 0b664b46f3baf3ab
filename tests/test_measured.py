"""The page of measured results: its tables are those of the results, and a benchmark that fails keeps its last ones."""

import json
import shutil
from pathlib import Path

import pytest

from tests.benchmarks import page

ROOT = Path(__file__).parent.parent
HERE = {"date": "2026-01-01", "machine": "M", "versions": "V"}


@pytest.fixture
def course(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "measured.md").write_text("# T\n\n<!-- measured: growth -->\nold\n<!-- end -->\n\nText.\n")
    (tmp_path / "docs" / "measured.json").write_text("{}")
    (tmp_path / "tests" / "benchmarks").mkdir(parents=True)
    return tmp_path


def script(course, text):
    (course / "tests" / "benchmarks" / "growth.py").write_text(text)
    return page.measure(course, {}, ["growth"])


def test_the_page_is_in_step_with_the_results_and_shows_all():
    results = json.loads((ROOT / page.RESULTS).read_text(encoding="utf-8"))
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    assert page.renew(text, results) == text
    assert results.keys() <= page.COMMANDS.keys()
    assert all(text.count(f" {key} ") for key in results), "a result that has no place on the page"
    assert all((ROOT / "tests" / command.split()[0]).exists() for command in page.COMMANDS.values())


def test_measuring_runs_a_script_and_keeps_its_last_line(course, capsys):
    result = json.dumps({"b": {"slope": 1.96}, "a": {"slope": 1000}})
    assert script(course, f"print('x')\nprint({result!r})") == 0
    first = (course / page.PAGE).read_text(encoding="utf-8")
    assert "old" not in first
    assert "| what | slope |\n| --- | --- |\n| b | 1.96 |\n| a | 1,000 |\n\n```sh\n" in first
    assert first.endswith("<!-- end -->\n\nText.\n")
    assert script(course, "raise SystemExit(3)") == 1
    assert "FAILED with exit code 3" in capsys.readouterr().out
    second = (course / page.PAGE).read_text(encoding="utf-8")
    assert "| b | 1.96 |" in second
    assert "**`growth` failed on 20" in second


def test_a_table_shows_nested_results_and_what_stands_beside_them():
    result = {"contenders": {"a_b": {"s": 1, "q": [0.5, 2]}, "c": {"s": 2, "q": []}}, "rounds": 3}
    text = "\n\n".join(page._part({"fit": HERE | {"threads": "1", "result": result}}))
    assert "| what | s | q |\n| --- | --- | --- |\n| a b | 1 | 0.5, 2 |\n| c | 2 |  |\n\nrounds: 3." in text
    assert "OMP_NUM_THREADS=1 python tests/benchmarks/fit.py" in text
    several = "\n\n".join(page._part({key: HERE | {"result": {"accuracy": 0.5}} for key in ("fit", "fit_large")}))
    assert "| fit | 50.0 % |\n| fit large | 50.0 % |" in several
    assert several.count("2026-01-01; M; V.") == 1
    spread = {"scratch": {"200": 0.7552}, "spread": {"scratch": {"200": 0.0387}}}
    text = "\n".join(page._part({"transfer": HERE | {"result": spread}}))
    assert "| what | 200 pictures |\n| --- | --- |\n| scratch | 75.5 % |\n| spread: scratch | ± 3.9 points |" in text
    net = {"network": "osu", "seconds": 119.9, "cpu_seconds": 204.6, "torch": "2"}
    text = "\n".join(page._part({key: HERE | {"result": net} for key in ("cifar_osu", "cifar_osu_bn")}))
    assert "| what | seconds |\n| --- | --- |\n| OSU | 120 |\n| OSU | 120 |" in text
    assert "| images | 7 |" in "\n".join(page._part({"critters": HERE | {"result": {"images": 7}}}))


def test_folders_may_have_spaces_in_their_names(course, monkeypatch):
    shutil.copy(ROOT / page.PAGE, course / page.PAGE)
    asked = []
    done = page.subprocess.CompletedProcess([], 1, "")
    monkeypatch.setattr(page.subprocess, "run", lambda command, **_: asked.append(command[1:]) or done)
    page.measure(course, {"PHOTOS": "my photos"}, ["photos", "cifar"])
    (command,) = asked
    assert command[1:5] == ["--train", "my photos/train", "--test", "my photos/test"]
