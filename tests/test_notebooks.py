"""The rules that notebooks keep, and that running them again changes nothing."""

import copy
import json
import warnings
from pathlib import Path

import nbformat
import pytest

from tools import execute, normalform, rules
from tools.__main__ import main
from tools.address import fork
from tools.launch import setup_cell

ROOT = Path(__file__).parent.parent
PATHS = sorted((ROOT / "notebooks").glob("**/*.ipynb"))
NOTEBOOKS = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
LABS = [path for path in PATHS if path.parent.name == "labs"]
LECTURES = [path for path in PATHS if path not in LABS]


def test_there_are_notebooks():
    assert PATHS


@NOTEBOOKS
def test_notebook_keeps_the_rules(path):
    assert rules.check_all(path, ROOT) == []


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_lab_says_what_it_takes_and_asks_for_predictions(path):
    notebook = nbformat.read(path, as_version=4)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert texts[0].startswith("# Lab ")
    assert "minutes" in texts[0]
    assert any("**Predict" in text for text in texts)
    assert notebook.cells[0].source.startswith("# ASSIGNMENT CONFIG")


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_notebook_has_objectives_exercises_and_sources(path):
    notebook = nbformat.read(path, as_version=4)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert texts[0].startswith("# ")
    assert "minutes" in texts[0]
    assert any(text.startswith("## Exercises") and text.count("\n1. ") == 1 and "\n6. " in text for text in texts)
    assert texts[-1].startswith("## Sources")
    assert any("**Predict.**" in text for text in texts)
    slides = [cell.metadata.get("slideshow", {}).get("slide_type") for cell in notebook.cells]
    assert slides.count("slide") >= 5


@pytest.mark.slow
@NOTEBOOKS
def test_running_again_gives_no_diff(path, tmp_path):
    """On a machine like the author's every byte; on another one the same kinds of outputs."""
    committed = normalform.read(path)
    again = copy.deepcopy(committed)
    result = execute.execute(again, name=path.stem, folder=tmp_path, strict=True)
    assert result.error == ""
    assert list(tmp_path.iterdir()) == [], "the notebook left files behind"
    same_machine = committed.metadata["coursekit"]["made_on"] == normalform.machine()
    for old, new in zip(committed.cells, normalform.normalize(again).cells, strict=True):
        if old.cell_type == "code" and not normalform.is_measured(old):
            assert [kinds(output) for output in old.outputs] == [kinds(output) for output in new.outputs], old.source
            if same_machine:
                assert old.outputs == new.outputs, old.source


def kinds(output):
    """What an output is, without its content."""
    return output.output_type, output.get("name"), sorted(output.get("data", {}))


# The rules themselves: each must find its fault in a notebook that is otherwise right.


SETUP = setup_cell(fork(ROOT))
PNG = {"image/png": "aGVsbG8=", "text/plain": "x"}


def code(source, *outputs, count=None, **metadata):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=count, metadata=metadata)


def output(data=None, **metadata):
    return nbformat.v4.new_output("display_data", data=data or {"text/plain": "1"}, metadata=metadata)


def good():
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\n## A heading\n\n[there](#A-heading) and [out](https://example.org)"),
        code(SETUP, nbformat.v4.new_output("stream", name="stdout", text="profile mini\n"), count=1),
        code("1 + 1", output(PNG, **{"image/png": {"alt": "what can be seen"}}), count=2),
    ]
    notebook = normalform.normalize(nbformat.v4.new_notebook(cells=cells))
    normalform.mark_fresh(notebook)
    return notebook


def write(notebook, tmp_path):
    nbformat.write(notebook, tmp_path / "99_test.ipynb")
    return rules.check_all(tmp_path / "99_test.ipynb", ROOT)


def test_a_good_notebook_passes(tmp_path):
    assert write(good(), tmp_path) == []


def change(index, **values):
    def apply(notebook):
        notebook.cells[index].update(values)

    return apply


def append(cell):
    return lambda notebook: notebook.cells.append(cell)


FAULTS = {
    "another setup cell": (change(1, source=SETUP + "\nimport os"), "not the course's setup cell"),
    "setup again": (append(code("coursekit.setup()", count=3)), "calls setup() again"),
    "a long cell": (append(code("x = 1\n" * 31, count=3)), "longest 31 lines"),
    "long cells": (lambda n: [c.update(source="x = 1\n" * 9) for c in n.cells[1:]], "median 9"),
    "a wide line": (append(code(f"x = '{'a' * 84}'", count=3)), "a line of 90 columns, at most 88"),
    "not executed": (change(2, execution_count=None), "execution count None, expected 2"),
    "out of order": (change(2, execution_count=5), "execution count 5, expected 2"),
    "an error": (
        change(2, outputs=[nbformat.v4.new_output("error", ename="KeyError", evalue="", traceback=[])]),
        "shows KeyError",
    ),
    "stderr": (change(2, outputs=[nbformat.v4.new_output("stream", name="stderr", text="!")]), "text on stderr"),
    "a warning": (
        change(2, outputs=[nbformat.v4.new_output("stream", name="stdout", text="UserWarning: old")]),
        "shows a warning",
    ),
    "no alt text": (change(2, outputs=[output(PNG)]), "without alternative text"),
    "a picture for nbval to compare": (
        append(code("show()", output(PNG, **{"image/png": {"alt": "a cat asleep"}}), tags=["nbval-check-output"])),
        "which nbval cannot compare",
    ),
    "alt text that says nothing": (
        change(2, outputs=[output(PNG, **{"image/png": {"alt": "figure.png"}})]),
        "without alternative text",
    ),
    "Markdown image without alt": (append(nbformat.v4.new_markdown_cell("![](https://a.b/c.png)")), "image without"),
    "html image without alt": (append(nbformat.v4.new_markdown_cell("<img src='x.png'>")), "image without"),
    "a link to no heading": (append(nbformat.v4.new_markdown_cell("[x](#Nowhere)")), "no heading for the link"),
    "a link to no file": (append(nbformat.v4.new_markdown_cell("[x](99_none.ipynb)")), "no file for the link"),
    "a machine path in the source": (append(code("open('/home/ana/x')", count=3)), "names a path of this machine"),
    "a machine path in the output": (
        change(2, outputs=[output({"text/plain": "'C:\\\\\\\\Users'"})]),
        "names a path of this machine",
    ),
    "an unknown command": (append(code("%notmagic\nraise TypeError", count=3)), "uses % or !"),
    "an unknown kind of cell": (append(code("%%notmagic\n1 +", count=3)), "uses % or !"),
    "a command inside a line": (append(code("if True:\n    x = %notmagic 3", count=3)), "uses % or !"),
    "a command that hides others": (append(code("%%capture\n%notmagic", count=3)), "uses % or !"),
    "a shell command": (append(code("!false", count=3)), "uses % or !"),
    "a shell command that is kept": (append(code("files = !ls", count=3)), "uses % or !"),
    "editor metadata": (lambda n: n.metadata.update(toc={"x": 1}), "not in normal form"),
    "outputs of other code": (change(2, source="2 + 2"), "outputs are not of this code"),
    "no Python": (append(code("a b", count=3)), "is not Python"),
    "times without the tag": (append(code("time.perf_counter()", output(), count=3)), "no tag 'measured'"),
    "too large": (append(nbformat.v4.new_markdown_cell("x" * 4_000_001)), "bytes, at most"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_rule_finds_its_fault(fault, tmp_path):
    apply, message = FAULTS[fault]
    notebook = good()
    apply(notebook)
    found = write(notebook, tmp_path)
    assert any(message in line for line in found), found


@pytest.mark.parametrize("folder", ["notebooks", "notebooks/labs"])
def test_lectures_and_labs_have_88_columns(folder, tmp_path):
    (tmp_path / folder).mkdir(parents=True)
    for columns in (88, 89):
        notebook = good()
        notebook.cells.append(code("x = ".ljust(columns - 1, "1") + "1", count=3))
        found = write(notebook, tmp_path / folder)
        assert any("columns, at most 88" in line for line in found) == (columns > 88)


@pytest.mark.parametrize("source", ["x = (7\n% 256)", "%pip install --quiet x", "x = 7 % 3 != 1"])
def test_percent_and_exclamation_mark_may_be_python(source):
    assert list(rules.check_code(code(source))) == []


# Notebooks that other editors have saved


def without_ids(minor):
    """A notebook that keeps the rules, as an editor saves it that knows no ids, and adds metadata of its own."""
    raw = json.loads(nbformat.writes(good()))
    for cell in raw["cells"]:
        cell["metadata"] |= {"id": "x", "vscode": {"languageId": "python"}}
        del cell["id"]
    raw["metadata"]["colab"] = {"provenance": []}
    raw["nbformat_minor"] = minor
    return json.dumps(raw)


@pytest.mark.parametrize("minor", [0, 4, 5])
def test_a_notebook_without_ids_is_not_in_normal_form_and_comes_into_it(minor, tmp_path):
    path = tmp_path / "99_test.ipynb"
    path.write_text(without_ids(minor))
    assert rules.check_all(path, ROOT) == ["not in normal form: run `make notebooks`"]
    normalform.write(normalform.normalize(normalform.read(path)), path)
    assert rules.check_all(path, ROOT) == []


def test_executing_a_notebook_without_ids_gives_it_some(tmp_path):
    path = tmp_path / "99_test.ipynb"
    path.write_text(without_ids(4).replace("session = coursekit.setup()", ""))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of jupyter's own making
        assert execute.execute_in_place(path).error == ""
    notebook = nbformat.read(path, as_version=4)
    assert all(cell.id for cell in notebook.cells)
    assert nbformat.validate(notebook) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nbformat": 4, "nbformat_minor": 4, "cells": [{}]}', "no JSON"])
def test_a_file_that_is_no_notebook_is_named(text, tmp_path):
    path = tmp_path / "99_test.ipynb"
    path.write_text(text)
    (found,) = rules.check_all(path, ROOT)
    assert found.startswith("99_test.ipynb is not a notebook: ")


def test_links_command_points_every_notebook_to_a_fork(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://example.org/fork"\n')
    nbformat.write(good(), tmp_path / "notebooks" / "01_test.ipynb")
    monkeypatch.chdir(tmp_path)
    assert main(["links"]) == 0
    notebook = nbformat.read(tmp_path / "notebooks" / "01_test.ipynb", as_version=4)
    assert "git+https://example.org/fork" in rules.code_cells(notebook)[0].source
    assert rules.check_all(tmp_path / "notebooks" / "01_test.ipynb", tmp_path) == []
    assert main(["links"]) == 0
    assert "unchanged" in capsys.readouterr().out


def test_the_template_keeps_the_rules_but_for_its_outputs(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/a/fork"\n')
    path = tmp_path / "notebooks" / "07_title.ipynb"
    path.write_text((ROOT / "tools" / "template.ipynb").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["links"]) == 0
    wrong = rules.check_all(path, tmp_path)
    assert all("execution count" in line or "outputs are not of this code" in line for line in wrong), wrong
    assert "notebooks/07_title.ipynb" in normalform.read(path).cells[1].source
