"""Decks of slides: which cells are on them, and in which form. What they look like is for test_browser.py."""

import re
from pathlib import Path

import nbformat
import pytest

from tools import slides

ROOT = Path(__file__).parent.parent
PATHS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def md(source, kind=None):
    return nbformat.v4.new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind}} if kind else {})


def code(source, *outputs, **metadata):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)


def output(**data):
    return nbformat.v4.new_output("display_data", data={k.replace("_", "/"): v for k, v in data.items()})


def sections(*cells):
    return slides.sections(nbformat.v4.new_notebook(cells=list(cells)))


def page(*cells, **names):
    return slides.render(nbformat.v4.new_notebook(cells=list(cells)), "01_a", **names)


def test_slides_begin_where_the_metadata_says():
    found = sections(md("# A", "slide"), md("b"), md("c", "subslide"), md("hidden", "skip"), md("d", "slide"))
    assert [[cell.source for cell in cells] for cells in found] == [["# A", "b", "c"], ["d"]]
    assert page(md("# A", "slide"), md("b", "subslide")).count('class="text subslide"') == 1


def test_what_is_for_the_machine_and_what_is_optional_is_on_no_slide():
    cells = [md("# A", "slide"), code("session = coursekit.setup()"), code("x = 1", tags=["optional"])]
    assert [[cell.source for cell in cells] for cells in sections(*cells)] == [["# A"]]


def test_the_code_of_a_drawing_gives_way_to_its_picture():
    figure = output(text_html='<div class="course-figure"></div>')
    for drawing in (output(image_png="aGVsbG8="), figure):
        assert [cell.source for cell in sections(code("draw()", drawing))[0]] == [""]
        assert [cell.source for cell in sections(code("draw()", drawing, tags=["show-code"]))[0]] == ["draw()"]
    assert sections(code("compute()", output(text_plain="1")))[0][0].source == "compute()"
    assert 'class="interactive"' in page(code("draw()", figure))


def test_text_becomes_blocks_in_which_questions_are_marked():
    found = slides.markdown("One.\n\n**Predict.** Two?\n\n> three\n\n- four\n- five\n\n```python\nprint(1)\n```")
    assert [found.count(f"<{what}") for what in ("p>", 'p class="question"', "blockquote", "li", "pre")] == [
        2,
        1,
        1,
        2,
        1,
    ]


def test_maths_is_left_to_the_browser_and_escaped():
    assert slides.markdown("If $a < b$ then") == "<p>If $a &lt; b$ then</p>\n"
    for text in ("$$c > d$$", "so\n$$c > d$$\nit is"):
        assert '<span class="formula">$$c &gt; d$$</span>' in slides.markdown(text)


def test_links_lead_to_other_decks():
    found = slides.markdown("[two](02_b.ipynb), [a page](/measured.md#fit) and [out](https://example.org)")
    assert re.findall(r'href="(.*?)"', found) == ["02_b.html", "../measured.html#fit", "https://example.org"]


def test_code_is_coloured_and_outputs_follow():
    stream = nbformat.v4.new_output("stream", name="stdout", text="\n  a < b\n")
    found = page(code("x = 1", stream), code("history", output(text_html="<table></table>", text_plain="x")))
    assert '<span class="o">=</span>' in found
    assert '<pre class="output">  a &lt; b</pre>' in found
    assert '<div class="table"><table></table></div>' in found


def test_pictures_carry_their_description_and_so_do_the_notes():
    picture = output(image_png="aGVs\nbG8=", text_plain="x")
    picture.metadata["image/png"] = {"alt": 'a "small" dog'}
    found = page(code("show()", picture))
    assert '<img alt="a &#34;small&#34; dog" src="data:image/png;base64,aGVsbG8=">' in found
    assert '<aside class="notes"><p>To be seen: a &#34;small&#34; dog' in found


def test_notes_are_for_the_speaker():
    assert '<aside class="notes"><p>Take your <em>time</em>.</p>' in page(md("# A"), md("Take your *time*.", "notes"))


def test_the_first_slide_names_course_and_lecturer_and_the_second_lists_the_parts():
    cells = [md("# A <b>", "slide"), md("## 1. B *c*", "slide")]
    assert "byline" not in page(*cells)
    assert '<p class="byline">C</p>' in page(*cells, course="C")
    found = page(*cells, course="C", lecturer="D & E")
    assert '<p class="byline">C · D &amp; E</p>' in found
    assert "<title>A &lt;b&gt;: slides</title>" in found
    assert "<li>1. B <em>c</em></li>" in found
    assert slides.names(ROOT)["course"]


def test_build_writes_a_deck_each_and_what_they_share(tmp_path):
    path = tmp_path / "01_a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[md("# 1 · A", "slide"), md("## B", "slide")]), path)
    (deck,) = slides.build(ROOT, [path], tmp_path / "slides")
    text = deck.read_text(encoding="utf-8")
    assert text.count("<section>") == 3
    assert 'href="../notebooks/01_a.html"' in text
    assert {"reveal.js", "reveal.css", "deck.js", "deck.css", "notes.js"} <= {
        p.name for p in (deck.parent / "assets").iterdir()
    }
    assert "://" not in text.replace("http://www.w3.org", "")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_cell_of_a_notebook_is_on_its_deck_or_left_out_on_purpose(path):
    notebook = nbformat.read(path, as_version=4)
    found = slides.sections(notebook)
    shown = {cell.id for cells in found for cell in cells}
    for cell in notebook.cells:
        left_out = slides.slide_type(cell) == "skip" or "optional" in cell.metadata.get("tags", [])
        assert (cell.id in shown) != (left_out or "coursekit.setup()" in cell.source)
    outputs = [output for cells in found for cell in cells for output in cell.get("outputs", [])]
    assert slides.render(notebook, path.stem).count("<img") == sum(map(slides.is_drawing, outputs))
    assert len(found) >= 5
