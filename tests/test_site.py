"""The site: how its pages are gathered and computed, and that Sphinx builds it without a warning."""

import json
import re
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("sphinx", reason="the site needs the dependency group `site`")

from coursekit.runtime import known_costs
from tools import frontpage, summary, tables
from tools import site as builder

ROOT = Path(__file__).parent.parent
COURSE = tables.Course(ROOT)
ADDRESS = "https://github.com/a/b/blob/main"
FIRST = """# 3 · A title

**A question?**

After this notebook you can

- do one thing, and
  another;
- do a second.

*You need* notebooks 1 and 2. *Time*: 90 minutes with the questions.
"""
REMARK = "## Where\n\nText.\n\n> **The slides say** (OSU, TU/e): one\n> and *two*.\n\nNo remark."


# What a notebook says about itself


def test_a_summary_reads_the_first_cell():
    one = summary.summarize("03_x", [FIRST, "**Predict.** What?", REMARK])
    assert (one.title, one.question) == ("3 · A title", "A question?")
    assert one.objectives == ("do one thing, and another", "do a second")
    assert (one.needs, one.minutes, one.predictions) == ("notebooks 1 and 2", 90, 1)
    assert one.remarks == (summary.Remark(("OSU", "TU/e"), "The slide says: one and *two*.", "Where"),)


def test_a_summary_of_nothing_is_empty():
    assert summary.summarize("x", []) == summary.Summary("x", "x", "", (), "", 0, 0, ())


@pytest.mark.parametrize("path", COURSE.notebooks, ids=lambda path: path.stem)
def test_every_notebook_tells_what_the_lecturer_needs_to_know(path):
    one = summary.read(path)
    assert one.question
    assert len(one.objectives) >= 3
    assert one.needs
    assert one.minutes >= 30
    assert one.predictions >= 3


# Computed parts


def test_every_insert_mark_is_known_and_every_insert_is_used():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")]
    used = {name for text in texts for name in re.findall(r"<!-- insert: (\w+)", text)}
    assert used == (tables.INSERTS | frontpage.INSERTS).keys()


def test_an_unknown_insert_is_refused():
    with pytest.raises(builder.SiteError, match=r"unknown insert.*lectures"):
        builder.complete("a\n<!-- insert: nothing -->\n", COURSE)


def test_every_slide_remark_is_on_the_page_of_slips():
    page = tables.slips(COURSE)
    for path in COURSE.notebooks:
        cells = nbformat.read(path, as_version=4).cells
        written = sum(len(re.findall(r"^> \*\*The slides? says?\*\*", c.source, re.M)) for c in cells)
        assert written == len(summary.read(path).remarks), path.name
        for remark in summary.read(path).remarks:
            assert remark.text in page, "a lecture that tables.py does not know?"
            assert f"notebooks/{path.name}#{builder.anchor(remark.heading)}" in page


def test_the_lecturers_page_has_a_part_for_every_notebook():
    page = (ROOT / "docs" / "lecturer.md").read_text(encoding="utf-8")
    for path in COURSE.notebooks:
        assert f"<!-- insert: needs {path.stem[:2]} -->" in page
    one = summary.read(COURSE.notebooks[0])
    told = tables.needs(COURSE, "01")
    assert all(objective in told for objective in one.objectives)
    assert f"{one.minutes} minutes" in told
    assert "not part of the course" in tables.needs(COURSE, "77")


def test_tables_list_every_notebook_and_lab():
    assert all(f"](notebooks/{path.name})" in tables.lectures(COURSE) for path in COURSE.notebooks)
    assert all(f"](labs/{path.name})" in tables.labs(COURSE) for path in COURSE.labs)
    measured = [path for path in COURSE.notebooks if path.stem in known_costs()]
    assert tables.run_times(COURSE).count(".ipynb") == len(measured)


# Links


@pytest.mark.parametrize(
    ("written", "on_the_site"),
    [
        ("[x](../docs/measured.md)", "[x](/measured.md)"),
        ("[x](docs/measured.md)", "[x](/measured.md)"),
        ("[x](../CONTRIBUTING.md)", "[x](/contributing.md)"),
        ("[x](notebooks/01_a.ipynb)", "[x](/notebooks/01_a.ipynb)"),
        ("[x](../labs/lab01.ipynb)", "[x](/labs/lab01.ipynb)"),
        ("[x](../coursekit/filters.py)", f"[x]({ADDRESS}/coursekit/filters.py)"),
        ("[x](tools/rules.py)", f"[x]({ADDRESS}/tools/rules.py)"),
        ("[x](02_b.ipynb#A-heading)", "[x](02_b.ipynb#A-heading)"),
        ("[x](https://example.org/docs/x)", "[x](https://example.org/docs/x)"),
    ],
)
def test_links_are_turned_into_links_of_the_site(written, on_the_site):
    assert builder.relink(written, ADDRESS) == on_the_site


def test_without_an_address_links_to_files_go_and_their_words_stay():
    text = "[a](../coursekit/filters.py) and [b `c`](tools/rules.py), [d](docs/measured.md)"
    assert builder.relink(text, "") == "a and b `c`, [d](/measured.md)"


def test_code_is_linked_to_the_package_only():
    html = '<span class="n">{}</span><span class="o">.</span><span class="n">{}</span>'
    targets = {"coursekit.training.fit": "api/training.html#fit", "coursekit.setup": "api/index.html#setup"}

    def link(module, name):
        return builder.link_code(html.format(module, name), targets)

    assert link("training", "fit").startswith('<a class="code-link" href="api/training.html#fit">')
    assert "#setup" in link("coursekit", "setup")
    for other in (("training", "other"), ("data", "fit"), ("model", "fit")):
        assert "<a" not in link(*other)


def test_the_names_that_a_notebook_uses_are_found(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("data.x"), nbformat.v4.new_code_cell("figures.images([1])\nself.f.curves()")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_a.ipynb")
    assert builder.names_used(tmp_path / "01_a.ipynb") == {"figures.images", "self.f"}


# Pages


def picture_output(alt):
    data = {"image/png": "aGVsbG8=", "text/plain": "x"}
    return nbformat.v4.new_output("display_data", data=data, metadata={"image/png": {"alt": alt}})


def test_a_lecture_leads_to_its_slides_and_hides_what_is_for_the_machine(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# 1 · A"), nbformat.v4.new_code_cell("session = coursekit.setup()")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_a.ipynb")
    page = nbformat.reads(builder.page_of(tmp_path / "01_a.ipynb", ADDRESS).decode(), as_version=4)
    assert '<a href="../slides/01_a.html">' in page.cells[1].source
    assert page.cells[2].metadata.tags == ["hide-input"]


def test_the_first_page_shows_a_card_each_and_a_figure_to_play_with():
    cards = frontpage.cards(COURSE)
    assert cards.count('class="lecture"') == cards.count('src="data:image/jpeg') == len(COURSE.notebooks)
    assert "$" not in re.sub(r"base64,[^\"]+", "", cards)
    assert 'class="course-figure"' in frontpage.playable(COURSE)
    assert "\n\n" not in frontpage.playable(COURSE)


def test_a_page_keeps_the_description_of_every_picture(tmp_path):
    outputs = [picture_output("a first picture"), picture_output("a second one"), picture_output("a third one")]
    cells = [nbformat.v4.new_code_cell("show()", outputs=outputs), nbformat.v4.new_code_cell("1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "x.ipynb")
    page = nbformat.reads(builder.page_of(tmp_path / "x.ipynb", ADDRESS).decode(), as_version=4)
    shown = [cell for cell in page.cells if cell.outputs]
    alts = [cell.metadata.mystnb.image.alt for cell in shown]
    assert alts == ["a first picture", "a second one", "a third one"]
    assert [len(cell.outputs) for cell in shown] == [1, 1, 1]
    assert [cell.source for cell in page.cells] == ["show()", "", "", "1"]


def test_a_page_of_a_notebook_without_ids_is_a_valid_notebook(tmp_path):
    cell = nbformat.v4.new_code_cell("show()", outputs=[picture_output("one"), picture_output("two")])
    raw = json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("show()")])))
    for cell in raw["cells"]:
        del cell["id"]
    (tmp_path / "x.ipynb").write_text(json.dumps(raw | {"nbformat_minor": 4}), encoding="utf-8")
    page = builder.page_of(tmp_path / "x.ipynb", ADDRESS)
    assert page == builder.page_of(tmp_path / "x.ipynb", ADDRESS)  # ids are not drawn, or each page would be new
    assert nbformat.validate(nbformat.reads(page.decode(), as_version=4)) is None


def test_gathering_takes_executed_copies_and_forgets_what_is_gone(tmp_path):
    executed = tmp_path / "executed"
    executed.mkdir()
    name = COURSE.notebooks[0].name
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Fresh")]), executed / name)
    source = tmp_path / "source"
    (source / "notebooks").mkdir(parents=True)
    (source / "notebooks" / "99_gone.ipynb").touch()
    builder.gather(ROOT, source, executed)
    found = sorted(path.name for path in (source / "notebooks").iterdir())
    assert found == [path.name for path in COURSE.notebooks]
    assert "# Fresh" in (source / "notebooks" / name).read_text(encoding="utf-8")
    assert "insert:" not in "".join(
        path.read_text(encoding="utf-8") for path in source.glob("*.md") if path.stem != "contributing"
    )


def test_every_module_of_the_package_has_a_page_and_its_names_lead_to_notebooks(site):
    for name in builder.modules():
        assert (site / "api" / f"{name}.html").exists()
    page = (site / "api" / "training.html").read_text(encoding="utf-8")
    entry = page.partition('id="coursekit.training.fit"')[2].partition('<dt class="sig')[0]
    assert "Used in" in entry
    assert "../notebooks/03_cnn_from_scratch.html" in entry
    assert 'id="coursekit.setup"' in (site / "api" / "index.html").read_text(encoding="utf-8")
    assert "(in module tools" not in (site / "genindex.html").read_text(encoding="utf-8")


def test_the_site_builds_without_a_warning_and_has_every_page(site):
    assert (site / ".nojekyll").exists(), "GitHub's pages would leave out the folder _static"
    for path in COURSE.notebooks:
        assert (site / "notebooks" / f"{path.stem}.html").exists()
        assert (site / "slides" / f"{path.stem}.html").exists()
    for path in COURSE.labs:
        assert (site / "labs" / f"{path.stem}.html").exists()


def test_publishing_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(builder, "build", lambda *_: (_ for _ in ()).throw(builder.SiteError("page x: a warning")))
    assert builder.publish(tmp_path) == 1
    assert "page x: a warning" in capsys.readouterr().err


def test_speakers_notes_are_kept_for_the_deck_and_are_not_on_the_page(site, tmp_path):
    notes = nbformat.v4.new_markdown_cell("whisper", metadata={"slideshow": {"slide_type": "notes"}})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), notes])
    nbformat.write(notebook, tmp_path / "x.ipynb")
    page = nbformat.reads(builder.page_of(tmp_path / "x.ipynb", ADDRESS).decode(), as_version=4)
    assert page.cells[-1].metadata.tags == ["remove-cell"]
    for kind, there in {"notebooks": False, "slides": True}.items():
        text = (site / kind / f"{COURSE.notebooks[0].stem}.html").read_text(encoding="utf-8")
        assert ("Speaker's notes." in text or "Speaker’s notes." in text) == there
