"""The figures of the course: one call each, labelled, readable at 700 pixels, and described in words.

Every helper returns a `Picture`. Let it be the last line of a cell and Jupyter shows it, with its alternative text
(``alt``) stored in the notebook, where GitHub, the course's site and screen readers find it. Helpers take numpy arrays
or torch tensors (detached and on any device). Of the package, only `arguments` is imported here.
"""

from coursekit.figures.charts import bars, confusion, curves, runs
from coursekit.figures.panels import before_after, images, kernels, overlay, sliding
from coursekit.figures.picture import COLOURS, DPI, WIDTH, Picture, animation, show

__all__ = [
    "COLOURS",
    "DPI",
    "WIDTH",
    "Picture",
    "animation",
    "bars",
    "before_after",
    "confusion",
    "curves",
    "images",
    "kernels",
    "overlay",
    "runs",
    "show",
    "sliding",
]
