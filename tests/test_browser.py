"""Site and decks in a real browser, from the file system, with the network cut."""

import shutil
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tools.address import fork

ROOT = Path(__file__).parent.parent
SCREENS = ROOT / "build" / "screens"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here; Debian's package is called chromium"),
    pytest.mark.timeout(900),
]

# `preload` would fetch style sheets, which a page from the file system may not.
WCAG = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "preload": False,
}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "preload": False}
DESKTOP, PHONE, PROJECTOR = (1280, 900), (390, 844), (1280, 720)


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("axe_playwright_python.sync_playwright", reason="this needs the dependency group `browser`")
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def opened(browser, path, size=DESKTOP, scheme="light", query=""):
    """A page from a file, in a browser without network, and the list of what goes wrong in it."""
    width, height = size
    context = browser.new_context(
        offline=True, viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="no-preference"
    )
    context.set_default_timeout(120_000)  # a busy machine is slow, and that is no fault of a page
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url[:200]}"))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else wrong.append(r.url[:200]))
    try:
        page.goto(path.as_uri() + query)
        page.wait_for_function("!window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)")
        yield page, wrong
    finally:
        context.close()


@contextmanager
def projected(browser, deck):
    """A deck, when it has dealt out its pages."""
    with opened(browser, deck, PROJECTOR) as (page, wrong):
        page.wait_for_selector("html[data-ready]", state="attached")
        yield page, wrong


SAMPLE = ("index", "01_convolution")  # by day; by night every page and deck


def pages_of(site, every):
    """The pages of the site, the decks apart: a sample, or every one."""
    pages = [
        path for path in sorted(site.rglob("*.html")) if "slides" not in path.parts and "_static" not in path.parts
    ]
    return [path for path in pages if every or (path.stem in SAMPLE and path.parent.name != "api")]


def decks_of(site, every):
    return [path for path in sorted((site / "slides").glob("*.html")) if every or path.stem in SAMPLE]


EVERY = pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["sample", "every"])


def violations(page, options=WCAG, exclude=()):
    from axe_playwright_python.sync_playwright import Axe

    context = {"include": [["html"]], "exclude": [[selector] for selector in exclude]}
    results = Axe().run(page, context=context, options=options).response["violations"]
    return [f"{v['id']}: {node['target']} {node['html'][:120]}" for v in results for node in v["nodes"][:3]]


def pictures_without_words(page):
    """Pictures that lack a description, whose description is a file's name, or that were not loaded."""
    return page.evaluate(
        """() => [...document.images].filter((image) => {
             const alt = image.getAttribute("alt");
             const hidden = image.closest("[aria-hidden=true]") || image.getAttribute("role") === "presentation";
             const named = alt && /^\\S+\\.(png|svg|jpe?g|gif)$/.test(alt);
             return !image.complete || !image.naturalWidth || (!hidden && (!alt || named));
           }).map((image) => image.outerHTML.slice(0, 150))"""
    )


def shoot(page, name, **options):
    SCREENS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENS / f"{name}.png", **options)


@EVERY
def test_pages_are_whole_and_open_to_everybody_and_fit_on_a_phone(site, browser, every):
    found = {}
    for path in pages_of(site, every):
        name = path.relative_to(site).with_suffix("").as_posix()
        screen = name.replace("/", "-")
        with opened(browser, path) as (page, wrong):
            wrong += pictures_without_words(page) + violations(page, exclude=[] if every else ["div.highlight"])
            shoot(page, f"{screen}-light")
            page.emulate_media(color_scheme="dark")
            page.wait_for_selector("html[data-theme=dark]")
            page.wait_for_timeout(400)  # colours change slowly, for the eye
            # The other rules do not depend on colours; and those of code, slow to check, are the same on every page.
            wrong += violations(page, CONTRAST, [] if every and path.stem.startswith("01_") else ["div.highlight"])
            shoot(page, f"{screen}-dark")
            page.set_viewport_size(dict(zip(("width", "height"), PHONE, strict=True)))
            if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                wrong.append("is wider than a phone")
            shoot(page, f"{screen}-phone")
        found |= {name: wrong} if wrong else {}
    assert found == {}


def test_search_finds_a_word(site, browser):
    with opened(browser, site / "search.html", query="?q=gaussian") as (page, wrong):
        page.wait_for_selector("#search-results li a")
        links = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
        assert any("notebooks/01_convolution" in link for link in links)
        assert wrong == []


def test_dark_mode_is_a_click_away_and_leaves_pictures_undimmed(site, browser):
    with opened(browser, site / "notebooks" / "01_convolution.html") as (page, _):
        page.locator(".theme-switch-button:visible").first.click()
        page.locator(".theme-change-button[data-mode=dark]:visible").first.click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        filters = page.eval_on_selector_all(".bd-content img", "images => images.map(i => getComputedStyle(i).filter)")
        assert filters
        assert set(filters) == {"none"}
        framed = page.locator(".cell_output img, .cell_output .text_html:has(.course-figure)")
        assert set(framed.evaluate_all("those => those.map(one => getComputedStyle(one).padding)")) == {"0px"}


def test_only_a_question_stands_in_a_box(site, browser):
    for name, least in {"notebooks/01_convolution": 10, "lecturer": 0, "student": 0}.items():
        with opened(browser, site / f"{name}.html") as (page, _):
            found = page.locator("p.predict").count()
            assert found >= least if least else not found, name


def test_a_figure_answers_on_a_page_and_in_a_deck(site, browser):
    for path in (site / "notebooks" / "01_convolution.html", site / "slides" / "01_convolution.html"):
        with opened(browser, path) if path.parent.name == "notebooks" else projected(browser, path) as (page, wrong):
            figure = page.locator(".course-figure").first
            page.evaluate("window.Reveal?.slide(Reveal.getSlides().findIndex(s => s.querySelector('.course-figure')))")
            figure.locator("canvas").scroll_into_view_if_needed()
            before, said = figure.locator("canvas").screenshot(), figure.locator("p").inner_text()
            figure.get_by_role("button", name="Step").click()
            assert figure.locator("output").inner_text() == "2 of 9"
            page.wait_for_function("said => document.querySelector('.course-figure p').textContent !== said", arg=said)
            assert figure.locator("canvas").screenshot() != before
            assert wrong == []


def test_names_in_code_lead_to_the_package_and_back(site, browser):
    with opened(browser, site / "notebooks" / "03_cnn_from_scratch.html") as (page, wrong):
        page.locator("a.code-link", has_text="fit").first.click()
        page.wait_for_url("**/api/training.html*")
        entry = page.locator("dl.py:has(> dt[id='coursekit.training.fit'])")
        entry.locator("a", has_text="A CNN from scratch").first.click()
        page.wait_for_url("**/notebooks/03_cnn_from_scratch.html*")
        assert wrong == []


def test_code_can_be_copied_and_the_notebook_opened_elsewhere(site, browser):
    with opened(browser, site / "notebooks" / "02_conv2d_filters.html") as (page, _):
        assert page.locator("button.copybtn").count() > 20
        colab = "a[href*='colab.research.google.com'][href$='02_conv2d_filters.ipynb']"
        links = int(bool(fork(ROOT).name))  # none where the course has no address
        assert page.locator(f".dropdown-launch-buttons {colab}").count() == links
        assert page.locator(".prev-next-footer a").count() == 2


# Decks


@EVERY
def test_decks_are_whole_no_slide_overflows_or_is_nearly_empty_and_an_hour_is_enough(site, browser, every):
    found = {}
    for deck in decks_of(site, every):
        with projected(browser, deck) as (page, wrong):
            wrong += pictures_without_words(page) + page.evaluate(MEASURE)
            if page.locator("aside.notes").count() < page.locator(".picture").count():
                wrong.append("a picture is not described for the speaker")
            if page.locator("aside.notes:visible").count() or not page.evaluate("Reveal.hasPlugin('notes')"):
                wrong.append("speaker notes are on a slide, or nowhere")
            last = page.evaluate("Reveal.getTotalSlides()") - 1
            wrong += [f"{last + 1} pages"] if not 10 <= last < 50 else []
            for number in (0, 1, last // 2, last) if every else (0, last // 2):
                page.evaluate(f"Reveal.slide({number})")
                wrong += violations(page)
                shoot(page, f"slides-{deck.stem}-{number:03d}")
            page.evaluate("Reveal.toggleOverview(true)")
        found |= {deck.stem: wrong} if wrong else {}
    assert found == {}


MEASURE = """() => {
  const wrong = [];
  for (let index = 0; index < Reveal.getTotalSlides(); index++) {
    Reveal.slide(index);
    const slide = Reveal.getCurrentSlide(), say = (what) => wrong.push(`page ${index + 1}: ${what}`);
    const frame = slide.getBoundingClientRect();
    if (slide.scrollHeight > 720 || slide.scrollWidth > 1280) say("overflows");
    if (frame.bottom > window.innerHeight + 1 || frame.right > window.innerWidth + 1) say("leaves the screen");
    const blocks = [...slide.children].filter((block) => !block.matches("aside, .running"));
    const boxes = blocks.map((block) => block.getBoundingClientRect());
    const end = Math.max(...boxes.map((box) => box.bottom));
    if (end > frame.bottom - 30 || boxes.some((box) => box.right > frame.right - 30)) say("reaches the edge");
    if (end - boxes[0].top < frame.height / 4) say("is nearly empty");
    for (const code of slide.querySelectorAll(".highlight pre")) {
      if (parseFloat(getComputedStyle(code).fontSize) < 17) say("has small code");
    }
    for (const figure of slide.querySelectorAll(".course-figure")) if (figure.style.zoom < 1) say("has a small figure");
    for (const image of slide.querySelectorAll("img")) {
      const shape = image.offsetWidth / image.offsetHeight / (image.naturalWidth / image.naturalHeight);
      if (Math.abs(shape - 1) > 0.02) say("stretches a picture");
      const small = image.offsetWidth < 0.66 * Math.min(1168, image.naturalWidth);
      if (small && image.offsetHeight < 400) say("has a small picture");
    }
    const prose = blocks.map((block) => (block.matches(".output, .code") ? "" : block.innerText)).join(" ");
    if (/\\\\[([]|\\$[^$]+\\$/.test(prose)) say("shows raw maths");
  }
  return wrong;
}"""


def test_on_a_phone_the_pages_of_a_deck_stand_below_each_other(site, browser):
    with opened(browser, site / "slides" / "01_convolution.html", PHONE) as (page, wrong):
        page.wait_for_selector("html[data-ready]", state="attached")
        tops = page.locator(".scroll-page").evaluate_all("pages => pages.map(one => one.getBoundingClientRect().top)")
        assert min(b - a for a, b in pairwise(tops)) < 0.6 * PHONE[0]
        assert wrong == []


def test_the_answer_to_a_question_waits_for_a_key(site, browser):
    with projected(browser, site / "slides" / "01_convolution.html") as (page, _):
        asked = "Reveal.getSlides().findIndex((slide) => slide.querySelector('.question ~ .fragment'))"
        page.evaluate(f"Reveal.slide({asked})")
        answer = page.locator("section.present .fragment").first
        assert page.locator("section.present .question").first.is_visible()
        assert not answer.is_visible()
        page.keyboard.press("ArrowRight")
        answer.wait_for(state="visible")
