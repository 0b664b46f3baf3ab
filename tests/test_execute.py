"""Running notebooks: progress, table, errors, memory, execution in place, costs."""

import json
import sys
import warnings

import nbformat
import pytest

from tools import costs, execute
from tools.__main__ import find_notebooks, main
from tools.normalform import normalize, read

STRICT = "import os; print(os.environ['COURSEKIT_STRICT'], end='\\n')"
LARGE = "a = bytearray(400_000_000); import time; time.sleep(0.5); del a"
BAD = "raise ValueError('what went wrong')"


def notebook(*sources, tags=()):
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.fixture(autouse=True)
def quiet_kernels():
    with warnings.catch_warnings():  # the test run turns warnings into errors; these are of jupyter's own making
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", ResourceWarning)
        yield


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of three small notebooks, of which the second fails."""
    folder = tmp_path / "a cöurse"
    (folder / "notebooks").mkdir(parents=True)
    for number, source in enumerate([STRICT, BAD, LARGE], start=1):
        nbformat.write(notebook("x = 1", source), folder / "notebooks" / f"0{number}_test.ipynb")
    monkeypatch.chdir(folder)
    return folder


def test_run_names_the_failing_cell_and_goes_on(course, capsys):
    before = {path.name: path.read_bytes() for path in (course / "notebooks").iterdir()}
    assert main(["run"]) == 1
    out = capsys.readouterr().out
    assert "cell 2 of 2: ValueError: what went wrong" in out
    rows = [line.split() for line in out.splitlines() if line.startswith("0")]
    assert [(row[0], row[3]) for row in rows] == [("01_test", "ok"), ("02_test", "FAILED:"), ("03_test", "ok")]
    assert all(float(row[1]) > 0 and float(row[2]) > 10 for row in rows)
    assert float(rows[2][2]) > 400  # the peak, not the end
    assert sorted(line[:5] for line in out.splitlines() if line.startswith("[")) == ["[1/3]", "[2/3]", "[3/3]"]
    assert "build" in out.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in (course / "notebooks").iterdir()} == before
    written = [read(course / "build" / "notebooks" / f"0{number}_test.ipynb") for number in (1, 2, 3)]
    assert written[0].cells[1].outputs[0].text == "0\n"


@pytest.mark.parametrize(
    ("sources", "error"),
    [
        (["while True: pass"], "cell 1 of 1: A cell timed out"),
        (["1", "import os; os._exit(3)"], "cell 2 of 2: Kernel died"),
        (["%notmagic\nraise TypeError"], "cell 1 of 1: UsageError: Line magic function `%notmagic` not found."),
        (["assert False, 'one line\\nand another'"], "cell 1 of 1: AssertionError: one line"),
    ],
)
def test_the_error_is_the_line_that_tells(tmp_path, sources, error):
    found = execute.execute(notebook(*sources), name="x", folder=tmp_path, timeout=2).error
    assert found.startswith(error)
    assert "\n" not in found


@pytest.mark.parametrize(("failures", "error"), [(2, ""), (3, "the kernel did not start: Kernel died")])
def test_a_kernel_that_does_not_start_is_tried_again(tmp_path, monkeypatch, failures, error):
    run, left = execute.NotebookClient.execute, [None] * failures

    def sometimes(self, **options):
        if left:
            left.pop()
            raise RuntimeError("Kernel died")
        return run(self, **options)

    monkeypatch.setattr(execute.NotebookClient, "execute", sometimes)
    assert execute.execute(notebook("1"), name="x", folder=tmp_path).error == error
    assert left == []


def test_in_place_a_second_run_changes_no_byte_and_keeps_what_was_measured(course):
    path = course / "notebooks" / "01_test.ipynb"
    sources = ["for i in range(3): print(i, flush=True)", "import time; print(time.time_ns())", STRICT]
    made = notebook(*sources)
    made.cells[1].metadata.tags = ["measured"]
    nbformat.write(made, path)

    def outputs():
        assert execute.execute_in_place(path).error == ""
        return read(path).cells[1].outputs

    first, once = outputs(), path.read_bytes()
    assert [read(path).cells[number].outputs[0].text for number in (0, 2)] == ["0\n1\n2\n", "1\n"]
    assert outputs() == first
    assert path.read_bytes() == once
    cleared = read(path)
    cleared.cells[1].outputs = []
    nbformat.write(cleared, path)
    renewed = outputs()
    assert renewed != first
    changed = read(path)
    changed.cells[1].source += "  # changed"
    nbformat.write(changed, path)
    assert outputs() != renewed


def test_in_place_a_failure_leaves_the_file_alone(course):
    path = course / "notebooks" / "02_test.ipynb"
    before = path.read_bytes()
    assert main(["notebooks", "02_test"]) == 1
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.tmp"))


def test_normal_form_joins_streams_and_keeps_outputs():
    stream = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    messy = notebook("1")
    messy.cells[0].outputs = [*stream, nbformat.v4.new_output("stream", name="stderr", text="c")]
    messy.cells[0].metadata = {"tags": ["measured"], "ExecuteTime": 3, "collapsed": True}
    messy.metadata["language_info"] = {"name": "python", "version": "3.99"}
    clean = normalize(messy)
    assert [output.text for output in clean.cells[0].outputs] == ["a\nb\n", "c"]
    assert clean.cells[0].metadata == {"tags": ["measured"]}
    assert clean.metadata.language_info == {"name": "python"}
    assert normalize(clean) == clean
    assert messy.metadata.language_info["version"] == "3.99"


def test_a_missing_package_is_named(course, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tools.site", None)
    monkeypatch.delattr("tools.site", raising=False)  # where another test has imported it
    assert main(["site"]) == 1
    assert "is not installed: `make` installs it" in capsys.readouterr().err


def test_unknown_names_and_wrong_folders_are_named(course, tmp_path):
    with pytest.raises(SystemExit, match="unknown notebook: 07_none"):
        find_notebooks(course, ["07_none"])
    with pytest.raises(SystemExit, match="no notebooks here"):
        find_notebooks(tmp_path, [])


def test_costs_are_rounded_up_and_reach_the_readme(course):
    (course / "coursekit").mkdir()
    (course / "coursekit" / "costs.json").write_text('{"09_other": {"megabytes": 1, "seconds": 2}}')
    (course / "README.md").write_text("| [One](notebooks/01_test.ipynb) | text | |\n| [Two](notebooks/x.ipynb) | 7 |\n")
    costs.record(course, [execute.Result("01_test", 11.2, 301.0)])
    known = json.loads((course / "coursekit" / "costs.json").read_text())
    assert known == {"01_test": {"megabytes": 350, "seconds": 15}, "09_other": {"megabytes": 1, "seconds": 2}}
    readme = (course / "README.md").read_text()
    assert readme == "| [One](notebooks/01_test.ipynb) | text | 15 |\n| [Two](notebooks/x.ipynb) | 7 |\n"
