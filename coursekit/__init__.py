"""The package behind a course on convolutional networks in PyTorch.

Each notebook builds an idea in the open; the module named after it keeps what was built, so that later notebooks
need not repeat it. Import modules by name: ``from coursekit import convolution``.

``import coursekit`` is quick: it imports neither torch nor matplotlib.
"""

from coursekit.runtime import Session, setup

__version__ = "0.1.0"
__all__ = ["Session", "__version__", "setup"]
