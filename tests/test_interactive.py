"""Interactive figures: what is embedded, and what a reader can do with it in a browser."""

import json
import re
import shutil
from itertools import product

import numpy as np
import pytest

from coursekit import figures
from coursekit.figures import interaction
from tests.notebook_functions import NOTEBOOKS

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture(scope="module")
def still():
    return figures.images([np.eye(4)], alt="A still picture")


def page_of(figure):
    return figure._repr_mimebundle_()["text/html"]


def test_arrays_travel_as_bytes_with_shape_and_type(still):
    data = {"bytes": np.arange(6, dtype=np.uint8).reshape(2, 3), "floats": np.array([0.5, np.nan]), "list": [1, "two"]}
    encoded = interaction._encode(data)
    assert encoded["bytes"] == {"base64": "AAECAwQF", "shape": (2, 3), "type": "uint8"}
    assert encoded["floats"]["type"] == "float32"
    assert encoded["list"] == [1, "two"]


def test_a_figure_holds_all_it_needs_and_is_the_same_each_time(still):
    image = np.arange(9, dtype=np.uint8).reshape(3, 3)
    one, two = (page_of(figures.interactive("kernel", {"photo": image, "presets": {}}, still)) for _ in range(2))
    assert one == two
    assert re.search(r'<img alt="A still picture" width="\d+" src="data:image/png;base64,', one)
    assert "http" not in one
    other = page_of(figures.interactive("kernel", {"photo": image + 1, "presets": {}}, still))
    assert re.search(r'data-figure="(\w+)"', one)[1] != re.search(r'data-figure="(\w+)"', other)[1]


def test_what_cannot_be_embedded_is_refused(still):
    with pytest.raises(ValueError, match=r"no interactive figure 'kernels'; there are .*kernel"):
        figures.interactive("kernels", {}, still)
    with pytest.raises(ValueError, match=r"[Nn]a[Nn]|JSON"):
        figures.interactive("kernel", {"list": [float("nan")]}, still)
    with pytest.raises(TypeError, match="JSON"):
        figures.interactive("kernel", {"what": object()}, still)


def test_a_text_cannot_end_the_script(still):
    page = page_of(figures.interactive("kernel", {"title": "</script><b>"}, still))
    assert page.count("</script>") == 1
    assert json.loads('"<\\/script>"') == "</script>"


def test_scripts_are_short():
    for path in interaction._SCRIPTS.glob("*.js"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= (220 if path.stem == "frame" else 150), path.name
        assert max(map(len, lines)) <= 160, path.name


def test_the_notebooks_hold_the_scripts_as_they_stand():
    """Outputs embed them: `make notebooks` renews them after a change."""
    pages = [page for path in NOTEBOOKS.glob("*.ipynb") for page in pages_in(path)]
    scripts = [interaction._text(f"{name}.js") for name in interaction.NAMES]
    assert len(pages) >= len(scripts)
    for page in pages:
        assert interaction._text("frame.css") in page
        assert interaction._text("frame.js") in page
        assert any(script in page for script in scripts)


def pages_in(path):
    outputs = [
        output for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] for output in cell.get("outputs", ())
    ]
    pages = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    return [page for page in pages if 'class="course-figure"' in page]


# In a browser: every figure, with small data.


def examples(still):
    rng = np.random.default_rng(0)
    settings = list(product((3, 5), (1, 2), (1, 2), (1, 2), (0, 1)))
    sizes = {",".join(map(str, setting)): index for index, setting in enumerate(settings)}
    field = {"kernels": [3, 5], "strides": [1, 2], "dilations": [1, 2], "depths": [1, 2], "pooling": 2, "pixels": 40}
    photo = rng.integers(0, 255, (12, 12), dtype=np.uint8)
    yield "kernel", {"photo": photo, "presets": {"shift": np.eye(3), "mean": np.full((3, 3), 1 / 9)}}
    yield "field", field | {"sizes": sizes}
    yield (
        "certainty",
        {
            "accuracies": [0.5, 0.9],
            "counts": [10, 100],
            "low": np.array([[0.2, 0.4], [0.6, 0.8]]),
            "high": np.array([[0.8, 0.6], [0.98, 0.95]]),
            "rates": [0.1, 10.0],
            "losses": np.array([[2.0, 1.0, 0.5], [2.0, 9.0, np.nan]]),
        },
    )
    heat, scores = rng.integers(0, 255, (2, 2, 2, 2, 3, 3), dtype=np.uint8), rng.random((2, 2, 2))
    attention = {"photos": rng.integers(0, 255, (2, 8, 8, 3), dtype=np.uint8), "titles": ["one", "two"]}
    attention |= {"networks": ["honest", "cheating"], "layers": ["first", "last"], "classes": ["cat", "dog"]}
    yield "attention", attention | {"heat": heat, "scores": scores}
    norms = 10.0 ** rng.normal(0, 1, (2, 3, 5))
    depth = {"designs": ["plain", "residual"], "gains": [0.5, 1, 2], "norms": norms, "chance": 0.1}
    yield "depth", depth | {"accuracies": [k / 8 for k in range(8)]}
    colours = {"lightness": rng.random((8, 8)) * 100, "logits": rng.integers(-99, 99, (4, 3, 3), dtype=np.int8)}
    colours |= {
        "scale": 0.05,
        "centres": rng.normal(0, 40, (4, 2)),
        "truth": rng.integers(0, 255, (8, 8, 3), dtype=np.uint8),
    }
    colours |= {"boosts": [0, 1], "weights": rng.normal(0, 1, 4)}
    boxes = {"images": rng.integers(0, 255, (2, 8, 8, 3), dtype=np.uint8), "classes": ["background", "cat"]}
    boxes |= {"detectors": ["one", "other"], "truth": np.array([[0, 1, 1, 1, 5, 5], [1, 1, 2, 2, 6, 6]])}
    found = [[0, 0, 1, 0.9, 1, 1, 5, 5], [1, 0, 1, 0.7, 0, 0, 3, 3], [1, 0, 1, 0.7, 0, 0, 3, 4]]
    yield "boxes", boxes | {"found": np.array(found)}
    masks = {"titles": ["large", "small"], "photos": rng.integers(0, 255, (2, 8, 8, 3), dtype=np.uint8)}
    masks |= {name: rng.integers(0, 255, (2, 8, 8), dtype=np.uint8) for name in ("probabilities", "truths")}
    masks["truths"] //= 128
    yield "threshold", masks
    denoise = {"images": rng.integers(0, 255, (3, 4, 2, 5, 16), dtype=np.uint8), "certainty": rng.random((3, 4, 5))}
    denoise |= {"wanted": list("abcde"), "times": [200, 150, 100, 50], "strengths": [0, 1, 4], "columns": 4}
    yield "denoise", denoise
    yield "colours", colours | {"temperatures": [1.0, 0.5, 0.1], "colourfulness": [[10.0, 15.0]] * 3, "own": 30.0}


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here; Debian's package is called chromium")
def test_every_control_of_every_figure_changes_the_picture(still, tmp_path):
    pytest.importorskip("playwright", reason="this needs the dependency group `browser`")
    from playwright import sync_api

    image, kernel = np.arange(16).reshape(4, 4), np.ones((2, 2))
    shown = {name: page_of(figures.interactive(name, data, still)) for name, data in examples(still)}
    shown["sliding"] = page_of(figures.sliding(image, kernel, alt="A kernel that slides", padding=1))
    assert sorted(shown) == interaction.NAMES
    file = tmp_path / "page.html"
    sections = "".join(f'<section id="{name}">{page}</section>' for name, page in shown.items())
    file.write_text(f'<!doctype html><meta charset="utf-8"><body style="color: #222">{sections}', encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page, wrong = browser.new_page(), []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(file.as_uri())
        for name in shown:
            assert changes(page.locator(f"#{name} .course-figure")) == [], name
        steps = page.locator("#sliding")
        steps.get_by_role("button", name="Reset").click()
        steps.get_by_role("button", name="Step").click()
        assert steps.locator("output").inner_text() == "2 of 25"
        # Of the image's first row only 0 and 1 lie under the kernel.
        page.wait_for_function("document.querySelector('#sliding p').textContent.endsWith('= 1')")
        steps.get_by_role("button", name="Play").click()
        page.wait_for_function("document.querySelector('#sliding output').textContent.startsWith('4')")
        steps.get_by_role("button", name="Pause").click()
        browser.close()
    assert wrong == []


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here; Debian's package is called chromium")
def test_labels_do_not_hide_each_other_and_a_hidden_figure_stays_as_it_is(still, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="this needs the dependency group `browser`")
    boxes = page_of(figures.interactive("boxes", dict(examples(still))["boxes"], still))
    file = tmp_path / "page.html"
    file.write_text(f'<!doctype html><meta charset="utf-8"><body style="color: #222">{boxes}', encoding="utf-8")
    spy = """window.plates = [];
      const fill = CanvasRenderingContext2D.prototype.fillRect;
      CanvasRenderingContext2D.prototype.fillRect = function (...plate) {
        window.plates.push(plate);
        fill.apply(this, plate);
      };"""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 600, "height": 800})
        page.add_init_script(spy)
        page.goto(file.as_uri())
        figure, canvas = page.locator(".course-figure"), page.locator("canvas")
        figure.locator("select").first.select_option("1")  # its two boxes have the same upper corners
        figure.locator("input").first.evaluate("one => { one.value = 18; plates.length = 0; }")
        figure.locator("input").first.dispatch_event("input")
        canvas.evaluate(SETTLED)
        (x0, y0, width, height), (x1, y1, *_) = page.evaluate("plates")
        assert abs(x0 - x1) >= width or abs(y0 - y1) >= height
        size = canvas.get_attribute("style")
        figure.evaluate("one => { one.parentNode.hidden = true; }")
        canvas.evaluate(SETTLED)
        assert canvas.get_attribute("style") == size
        browser.close()


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here; Debian's package is called chromium")
def test_a_coarse_map_is_stretched_as_torch_does_it():
    sync_api = pytest.importorskip("playwright.sync_api", reason="this needs the dependency group `browser`")
    import torch

    coarse = np.random.default_rng(0).random((3, 4), dtype=np.float32)
    wanted = torch.nn.functional.interpolate(torch.tensor(coarse)[None, None], (7, 9), mode="bilinear")[0, 0]
    code = (interaction._SCRIPTS / "frame.js").read_text(encoding="utf-8")
    ask = """coarse => {
      const pixel = (row, column) => between((i, j) => coarse[i][j], [3, 4], [7, 9], row, column);
      return Array.from({ length: 7 }, (_, i) => Array.from({ length: 9 }, (_, j) => pixel(i, j)));
    }"""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.add_script_tag(content=code)
        found = page.evaluate(ask, coarse.tolist())
        browser.close()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


SETTLED = (
    "canvas => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(canvas.toDataURL()))))"
)


def changes(figure):
    """Move each control to its other end, and return the labels of those that change neither picture nor text."""
    canvas, idle = figure.locator("canvas"), []
    look = lambda: canvas.evaluate(SETTLED) + figure.locator("p").inner_text()  # noqa: E731
    for control in figure.locator("input, select").all():
        before = look()
        control.evaluate(
            """element => {
              if (element.type === "checkbox") return element.click();
              if (element.type === "number") element.value = [...element.parentNode.children].indexOf(element);
              const last = element.tagName === "SELECT" ? 1 : Number(element.max);
              const least = element.tagName === "SELECT" ? 0 : Number(element.min);
              if (element.type !== "number") element.value = Number(element.value) === last ? least : last;
              for (const kind of ["input", "change"]) element.dispatchEvent(new Event(kind, { bubbles: true }));
            }"""
        )
        if look() == before:
            idle.append(control.evaluate("e => e.getAttribute('aria-label') || e.closest('label').textContent"))
    return idle
