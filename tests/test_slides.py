"""Decks of slides: which cells are on them, and in which form. What they look like is for test_browser.py."""

import re
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("mdit_py_plugins", reason="slides need the dependency group `site`")

from tools import slides
from tools.normalform import picture_type

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


def test_slides_begin_where_the_metadata_says():
    found = sections(md("# A", "slide"), md("b"), md("c", "subslide"), md("hidden", "skip"), md("d", "slide"))
    assert [len(blocks) for blocks in found] == [2, 1, 1]
    assert "hidden" not in str(found)


def test_the_setup_cell_is_on_no_slide():
    assert sections(md("# A", "slide"), code("session = coursekit.setup()")) == [
        ['<div class="block"><h1>A</h1>\n</div>']
    ]


def test_optional_cells_are_on_no_slide_and_drawing_code_gives_way_to_its_picture():
    figure = output(image_png="aGVsbG8=")
    (blocks,) = sections(md("# A", "slide"), code("x = 1", tags=["optional"]), code("figures.show(figure)", figure))
    assert [block[:20] for block in blocks][:2] == ['<div class="block"><', '<div class="block pi']
    interactive = output(text_html='<div class="course-figure"></div>')
    assert 'class="block interactive"' in sections(md("# A", "slide"), code("figures.sliding(X, W)", interactive))[0][2]


def test_each_paragraph_is_a_block_and_a_question_is_marked():
    ((first, second, quote, items),) = sections(md("One.\n\n**Predict.** Two?\n\n> three\n\n- four\n- five"))
    assert "question" not in first
    assert 'class="block question"' in second
    assert "<blockquote>" in quote
    assert items.count("<li>") == 2


def test_maths_is_left_to_the_browser_and_escaped():
    ((block,),) = sections(md("If $a < b$ then $$c > d$$"))
    assert r"\(a &lt; b\)" in block
    assert r"\[c &gt; d\]" in block


def test_links_lead_to_other_decks():
    ((block,),) = sections(md("[two](02_b.ipynb), [a page](/measured.md#fit) and [out](https://example.org)"))
    assert 'href="../measured.html#fit"' in block
    assert 'href="02_b.html"' in block
    assert 'href="https://example.org"' in block


def test_code_has_a_line_each_and_outputs_follow():
    stream = nbformat.v4.new_output("stream", name="stdout", text="a < b\n\nc\n")
    (blocks,) = sections(code("x = 1\nif x:\n    y = 2", stream))
    assert blocks[0].count('class="line"') == 3
    assert "--hang: 8ch" in blocks[0]
    assert "a &lt; b" in blocks[1]
    assert blocks[1].count('class="line"') == 3


def test_pictures_carry_their_description_and_so_do_the_notes():
    picture = output(image_png="aGVsbG8=", text_plain="x")
    picture.metadata["image/png"] = {"alt": 'a "small" dog'}
    (blocks,) = sections(code("show()", picture))
    assert 'alt="a &quot;small&quot; dog" src="data:image/png;base64,aGVsbG8="' in blocks[1]
    assert blocks[2].startswith('<aside class="notes"><p>To be seen: a &quot;small&quot; dog')


def test_notes_are_for_the_speaker():
    (blocks,) = sections(md("# A", "slide"), md("Take your *time*.", "notes"))
    assert blocks[1] == '<aside class="notes"><p>Take your <em>time</em>.</p>\n</aside>'


def test_tables_are_shown_as_tables():
    (blocks,) = sections(code("history", output(text_html="<table></table>", text_plain="x")))
    assert blocks[1] == '<div class="block table"><table></table></div>'


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("# NBVAL_CHECK_OUTPUT\nx", "x"),
        ("f(alt='what to see')", 'f(alt="…")'),
        (
            "f(\n    'ä',\n    alt='one '\n    'two',\n)\ng(alt=\"three\")",
            'f(\n    \'ä\',\n    alt="…",\n)\ng(alt="…")',
        ),
        ("f('ä', alt='é', size=3)", "f('ä', alt=\"…\", size=3)"),
        ("def f():\n    pass\n\n\nf()", "def f():\n    pass\n\nf()"),
        ("%pip install x", "%pip install x"),
        ("alt = 'kept'", "alt = 'kept'"),
    ],
)
def test_code_is_shortened_for_projection(source, shown):
    assert slides.for_projection(source) == shown


def test_build_writes_a_deck_each_and_what_they_share(tmp_path):
    path = tmp_path / "01_a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[md("# 1 · A <b>", "slide"), md("## B", "slide")]), path)
    (deck,) = slides.build([path], tmp_path / "slides")
    text = deck.read_text(encoding="utf-8")
    assert "<title>1 · A &lt;b&gt;: slides</title>" in text
    assert text.count("<section>") == 3
    assert "<li>B</li>" in text  # the agenda
    assert 'href="../notebooks/01_a.html"' in text
    assert {"reveal.js", "reveal.css", "deck.js", "deck.css", "notes.js"} <= {
        p.name for p in (deck.parent / "assets").iterdir()
    }
    assert "://" not in text.replace("http://www.w3.org", "")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_cell_of_a_notebook_is_on_its_deck_or_left_out_on_purpose(path):
    notebook = nbformat.read(path, as_version=4)
    shown = [c for c in notebook.cells if c.metadata.get("slideshow", {}).get("slide_type") not in ("skip", "notes")]
    shown = [c for c in shown if "optional" not in c.metadata.get("tags", [])]
    found = slides.sections(notebook)
    code_blocks = sum("block lines code" in block for blocks in found for block in blocks)
    listed = [
        c for c in shown if c.cell_type == "code" and not re.search(r"setup\(\)|\.show\(|\.interactive\(", c.source)
    ]
    assert code_blocks == len(listed) + sum(c.source.count("```python") for c in shown if c.cell_type == "markdown")
    outputs = [output for cell in shown for output in cell.get("outputs", [])]
    pictures = sum(bool(picture_type(o) or "course-figure" in o.get("data", {}).get("text/html", "")) for o in outputs)
    assert sum("<img" in block for blocks in found for block in blocks) == pictures
    assert len(found) >= 5


def test_a_listing_in_the_text_looks_like_code():
    cell = nbformat.v4.new_markdown_cell("Before.\n\n```python\nprint(1)\n\n\nprint(2)\n```\n\nAfter.")
    [[before, listing, after]] = slides.sections(nbformat.v4.new_notebook(cells=[cell]))
    assert before == '<div class="block"><p>Before.</p>\n</div>'
    assert listing.startswith('<pre class="block lines code">')
    assert listing.count('class="line"') == 3  # of the two blank lines, one is left
    assert "After" in after
