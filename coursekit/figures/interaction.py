"""Figures that answer: a few lines of JavaScript on a canvas, and a still picture where scripts do not run.

The output is plain HTML that holds everything: the data that the cell computed, the script, and the picture. It works
in JupyterLab, on Colab, in VS Code, on the course's site and on its slides, without a network.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from coursekit.figures.picture import Picture

_SCRIPTS = Path(__file__).with_name("scripts")
NAMES = sorted(path.stem for path in _SCRIPTS.glob("*.js") if path.stem != "frame")


class Interactive:
    """An interactive figure (``page``, its HTML) with the picture that stands for it where scripts do not run."""

    def __init__(self, page: str, still: Picture) -> None:
        self.page, self.still = page, still

    def __repr__(self) -> str:
        """Return the picture's description."""
        return repr(self.still)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {"text/html": self.page, "text/plain": repr(self)}


def interactive(name: str, data: dict[str, Any], still: Picture) -> Interactive:
    """Return the interactive figure of that name.

    Parameters
    ----------
    name : str
        A file in ``figures/scripts``; a ValueError lists them. The file's first lines say which data it reads.
    data : dict
        Numbers, texts, lists, and arrays of uint8, int8 or floats (these become float32), by name.
    still : Picture
        What stands in the figure's place where scripts do not run, as on GitHub.
    """
    if name not in NAMES:
        raise ValueError(f"there is no interactive figure {name!r}; there are {', '.join(NAMES)}.")
    content = json.dumps(_encode(data), allow_nan=False, separators=(",", ":")).replace("</", "<\\/")
    key = hashlib.sha256(f"{name}{content}".encode()).hexdigest()[:12]
    image = base64.b64encode(still.content).decode()
    page = (
        f'<div class="course-figure" data-figure="{key}"><style>{_text("frame.css")}</style>'
        f'<img alt="{html.escape(still.alt)}" width="{still.width}" src="data:{still.mime};base64,{image}"></div>\n'
        f"<script>(() => {{\n{_text('frame.js')}\n{_text(f'{name}.js')}\n"
        f"for (const root of document.querySelectorAll('[data-figure=\"{key}\"]:not([data-ready])')) {{\n"
        f"  root.dataset.ready = 'yes';\n  figure(makeFrame(root, decode({content})));\n}}\n}})();</script>"
    )
    return Interactive(page, still)


@cache
def _text(name: str) -> str:
    return (_SCRIPTS / name).read_text(encoding="utf-8").strip()


def _encode(value: Any) -> Any:
    """Turn arrays into bytes in base64, and everything else into what JSON knows."""
    if isinstance(value, dict):
        return {str(key): _encode(one) for key, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [_encode(one) for one in value]
    value = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value if value.dtype in (np.uint8, np.int8) else value.astype("<f4"))
        kind = {"|u1": "uint8", "|i1": "int8", "<f4": "float32"}[array.dtype.str]
        return {"base64": base64.b64encode(array.tobytes()).decode(), "shape": array.shape, "type": kind}
    return value
