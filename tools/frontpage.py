"""What the site's first page shows of the notebooks: a strip of photos, a figure to play with, and a card each."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
from PIL import Image

from tools import launch
from tools.normalform import picture_type, read
from tools.tables import Course

_EMBEDDED = re.compile(r'<img alt="([^"]*)" width="\d+" src="data:image/\w+;base64,([^"]+)"')


def cards(course: Course) -> str:
    """Return a card for each lecture: a picture out of it, its question, and where to read, project and run it."""
    place = launch.fork(course.root)
    found = ['<div class="lectures">']
    for one, path in zip(course.summaries(), course.notebooks, strict=True):
        links = {"read": f"notebooks/{one.name}.html", "slides": f"slides/{one.name}.html"}
        if colab := launch.colab(place, Path("notebooks") / path.name):
            links["Colab"] = colab
        for lab in (lab for lab in course.labs if lab.stem.startswith(f"lab{one.name[:2]}_")):
            links["lab"] = f"labs/{lab.stem}.html"
        buttons = " ".join(f'<a href="{address}">{name}</a>' for name, address in links.items())
        picture = _picture(_outputs(path, "cover") + _outputs(path), 420)  # without a cover: the first one
        title = f'<h3><a href="{links["read"]}">{html.escape(one.title)}</a></h3>'
        question = html.escape(one.question.replace("$", ""))
        found.append(f'<div class="lecture">{picture}{title}<p>{question}</p><p>{buttons}</p></div>')
    return "\n".join([*found, "</div>"])


def strip(course: Course) -> str:
    """Return the picture that a notebook marks with the tag ``strip``, as wide as the page; nothing if none does."""
    return "".join(_picture(_outputs(path, "strip"), 1400) for path in course.notebooks)


def playable(course: Course) -> str:
    """Return the interactive figure that a notebook marks with the tag ``cover``."""
    for path in course.notebooks:
        for output in _outputs(path, "cover"):
            if 'class="course-figure"' in (page := output.get("data", {}).get("text/html", "")):
                return re.sub(r"\n\s*\n", "\n", page)  # Markdown ends HTML at an empty line
    return ""


def _outputs(path: Path, tag: str = "") -> list[nbformat.NotebookNode]:
    """Return a notebook's outputs: all, or those of cells with a tag."""
    cells = [cell for cell in read(path).cells if not tag or tag in cell.metadata.get("tags", [])]
    return [output for cell in cells for output in cell.get("outputs", [])]


def _picture(outputs: list[nbformat.NotebookNode], width: int) -> str:
    """Return the first picture, also one inside an interactive figure, at most so many pixels wide; or nothing."""
    for output in outputs:
        if kind := picture_type(output):
            alt, content = html.escape(output.metadata.get(kind, {}).get("alt", "")), output.data[kind]
        elif found := _EMBEDDED.search(output.get("data", {}).get("text/html", "")):
            alt, content = found.groups()
        else:
            continue
        image, buffer = Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"), io.BytesIO()
        image.thumbnail((width, width), Image.Resampling.LANCZOS)
        image.save(buffer, "JPEG", quality=88, subsampling=0)
        return f'<img alt="{alt}" src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    return ""


INSERTS: dict[str, Callable[..., str]] = {"cards": cards, "playable": playable, "strip": strip}
