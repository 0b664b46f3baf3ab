"""Running notebooks: progress, table, errors, memory, execution in place, costs."""

import json
import warnings
from pathlib import Path

import nbformat
import pytest

from tools import costs, execute, measured
from tools.__main__ import find_notebooks, main

GOOD = "print('hello')"
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
    for number, source in enumerate([GOOD, BAD, GOOD], start=1):
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
    assert sorted(line[:5] for line in out.splitlines() if line.startswith("[")) == ["[1/3]", "[2/3]", "[3/3]"]
    assert "build" in out.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in (course / "notebooks").iterdir()} == before
    for name in ("01_test", "02_test", "03_test"):
        assert (course / "build" / "notebooks" / f"{name}.ipynb").exists()


def test_run_of_good_notebooks_succeeds(course, capsys):
    assert main(["run", "01_test", "03_test.ipynb"]) == 0
    assert "02_test" not in capsys.readouterr().out


def test_a_cell_that_hangs_is_stopped(tmp_path):
    result = execute.execute(notebook("while True: pass"), name="x", folder=tmp_path, timeout=1)
    assert result.error.startswith("cell 1 of 1")


def test_a_kernel_that_dies_is_reported(tmp_path):
    result = execute.execute(notebook("1", "import os; os._exit(3)"), name="x", folder=tmp_path)
    assert result.error.startswith("cell 2 of 2")


@pytest.mark.parametrize(("failures", "error"), [(2, ""), (3, "the kernel did not start: Kernel died")])
def test_a_kernel_that_does_not_start_is_tried_again(tmp_path, monkeypatch, failures, error):
    start, left = execute.NotebookClient.setup_kernel, [None] * failures

    def setup_kernel(self, **options):
        if left:
            left.pop()
            raise RuntimeError("Kernel died")
        return start(self, **options)

    monkeypatch.setattr(execute.NotebookClient, "setup_kernel", setup_kernel)
    result = execute.execute(notebook("1"), name="x", folder=tmp_path)
    assert result.error == error
    assert left == []


def test_memory_is_the_peak_not_the_end(tmp_path):
    source = "a = bytearray(400_000_000); import time; time.sleep(0.5); del a"
    small = execute.execute(notebook("import time; time.sleep(0.5)"), name="x", folder=tmp_path)
    large = execute.execute(notebook(source), name="x", folder=tmp_path)
    assert large.megabytes - small.megabytes > 300


def test_deprecations_are_errors_only_when_strict(tmp_path):
    sources = ["import coursekit; coursekit.setup()", "import warnings; warnings.warn('old', FutureWarning)"]
    assert execute.execute(notebook(*sources), name="x", folder=tmp_path).error == ""
    strict = execute.execute(notebook(*sources), name="x", folder=tmp_path, strict=True)
    assert strict.error.startswith("cell 2 of 2: FutureWarning: old")


def test_in_place_a_second_run_changes_no_byte(course):
    path = course / "notebooks" / "01_test.ipynb"
    nbformat.write(notebook("for i in range(3): print(i, flush=True)", "import os; os.getcwd() == 'x'"), path)
    assert execute.execute_in_place(path).error == ""
    once = path.read_bytes()
    assert b"0\\n" in once
    assert execute.execute_in_place(path).error == ""
    assert path.read_bytes() == once


def test_in_place_a_failure_leaves_the_file_alone(course):
    path = course / "notebooks" / "02_test.ipynb"
    before = path.read_bytes()
    assert "what went wrong" in execute.execute_in_place(path).error
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.tmp"))
    assert main(["notebooks", "02_test"]) == 1


def test_measured_outputs_are_kept_until_code_changes(course):
    path = course / "notebooks" / "01_test.ipynb"
    nbformat.write(notebook("import time; print(time.time_ns())", tags=["measured"]), path)
    execute.execute_in_place(path)
    first = nbformat.read(path, as_version=4).cells[0].outputs
    execute.execute_in_place(path)
    assert nbformat.read(path, as_version=4).cells[0].outputs == first
    execute.execute_in_place(path, remeasure=True)
    renewed = nbformat.read(path, as_version=4)
    assert renewed.cells[0].outputs != first
    renewed.cells[0].source += "  # changed"
    nbformat.write(renewed, path)
    execute.execute_in_place(path)
    assert nbformat.read(path, as_version=4).cells[0].outputs != renewed.cells[0].outputs


def test_normalize_joins_streams_and_keeps_outputs():
    stream = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    messy = notebook("1")
    messy.cells[0].outputs = [*stream, nbformat.v4.new_output("stream", name="stderr", text="c")]
    messy.cells[0].metadata = {"tags": ["measured"], "ExecuteTime": 3, "collapsed": True}
    messy.metadata["language_info"] = {"name": "python", "version": "3.99"}
    clean = execute.normalize(messy)
    assert [output.text for output in clean.cells[0].outputs] == ["a\nb\n", "c"]
    assert clean.cells[0].metadata == {"tags": ["measured"]}
    assert clean.metadata.language_info == {"name": "python"}
    assert execute.normalize(clean) == clean
    assert messy.metadata.language_info["version"] == "3.99"


def test_unknown_names_and_wrong_folders_are_named(course, tmp_path, monkeypatch):
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


def test_the_page_of_measured_results_is_written_from_the_results():
    root = Path(__file__).parent.parent
    results = json.loads((root / measured.RESULTS).read_text(encoding="utf-8"))
    assert (root / measured.PAGE).read_text(encoding="utf-8") == measured.page(results)
    known = {item.key for section in measured.SECTIONS for item in section.measurements}
    assert results.keys() <= known


def test_rows_keep_the_order_of_the_benchmark_also_from_the_file(tmp_path):
    (tmp_path / "tests" / "benchmarks").mkdir(parents=True)
    last = {"scratch": {"200": 0.5}, "frozen": {"200": 0.75}, "fine_tuned": {"50": 0.25, "200": 1.0}}
    (tmp_path / "tests" / "benchmarks" / "transfer.py").write_text(f"import json\nprint(json.dumps({last}))")
    assert measured.measure(tmp_path, {}, ["transfer"]) == 0
    text = (tmp_path / measured.PAGE).read_text(encoding="utf-8")
    ways = [line.split(" | ")[0] for line in text.splitlines() if "one run" in line]
    assert ways == ["| scratch", "| frozen", "| fine-tuned", "| fine-tuned"]
    assert measured.page(json.loads((tmp_path / measured.RESULTS).read_text(encoding="utf-8"))) == text


def test_measuring_runs_a_script_and_keeps_its_last_line(tmp_path, capsys):
    (tmp_path / "tests" / "benchmarks").mkdir(parents=True)
    ratios = {"scipy Fourier": 2, "torch float32": 1, "by hand": 100, "scipy direct": 1.0, "package": 0.5}
    last = {"times_of_scipy_direct": {"3": ratios, "11": ratios}, "times_of_limit": {"3": ratios, "11": ratios}}
    script = tmp_path / "tests" / "benchmarks" / "correlation.py"
    script.write_text(f"import json\nprint('K = 3')\nprint(json.dumps({last}))")
    assert measured.measure(tmp_path, {}, ["correlation"]) == 0
    text = (tmp_path / measured.PAGE).read_text(encoding="utf-8")
    assert "| 3 x 3 | 100.00 (100.0) | 1.00 (1.0) | 0.50 (0.5) | 2.00 (2.0) | 1.00 (1.0) |\n| 11 x 11 |" in text
    assert "CIFAR" not in text
    script.write_text("raise SystemExit(3)")
    assert measured.measure(tmp_path, {}, ["correlation"]) == 1
    assert "FAILED with exit code 3" in capsys.readouterr().out
    page = (tmp_path / measured.PAGE).read_text(encoding="utf-8")
    assert page.startswith(text)
    assert page.removeprefix(text).startswith("\n**`python tests/benchmarks/correlation.py` failed on 20")


def test_the_page_says_how_many_threads_were_allowed_and_each_circumstance_once():
    rows = {"rows": [["what", 1, "ok"]], "wrong": []}
    here = {"machine": "M", "versions": "V", "result": rows}
    page = measured.page(
        {
            "stress_kill": here | {"date": "2026-01-01", "threads": "1"},
            "stress_fuzz": here | {"date": "2026-01-02"},
            "stress_hostile": here | {"date": "2026-01-02"},
        }
    )
    assert "OMP_NUM_THREADS=1 python tests/stress/kill.py\npython tests/stress/hostile.py\n" in page
    assert page.endswith("\n2026-01-01; M; V.\n\n2026-01-02; M; V.\n")
