"""The figures of the course: one call each, labelled, readable at 700 pixels, and described in words.

Every helper returns a `Picture`, or an `Interactive` figure with a picture inside. Let it be the last line of a cell
and Jupyter shows it, with its alternative text (``alt``) stored in the notebook, where the course's site and screen
readers find it. Helpers take numpy arrays or torch tensors, detached or not and on any device.
"""

from coursekit.figures.charts import confusion, curves, runs
from coursekit.figures.diagrams import blocks, channels, network, paths, pipelines, u_net
from coursekit.figures.interaction import Interactive, interactive
from coursekit.figures.panels import images, kernels, overlay, sliding
from coursekit.figures.picture import COLOURS, Picture, show
from coursekit.figures.rectangles import boxes

__all__ = [
    "COLOURS", "Interactive", "Picture", "blocks", "boxes", "channels", "confusion", "curves", "images",
    "interactive", "kernels", "network", "overlay", "paths", "pipelines", "runs", "show", "sliding",
    "u_net",
]  # fmt: skip
