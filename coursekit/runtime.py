"""The first call of every notebook: which profile, which device, which seed.

This module imports nothing of the package, and torch only inside the functions that need it.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path, user_data_path

if TYPE_CHECKING:
    import torch

PROFILES = ("mini", "full")
_DRIVE = Path("/content/drive")  # where Colab shows Google Drive
_SOON_AN_ERROR = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)


@dataclass(frozen=True)
class Session:
    """What `setup` chose. Its text is the one line that `setup` prints.

    Attributes
    ----------
    profile : str
        ``"mini"`` (offline data, small networks) or ``"full"`` (the lectures' data and weights).
    device : torch.device
        Where tensors go: CUDA, Apple's MPS or the CPU.
    seed : int
        The seed that Python, numpy and torch were given.
    cost : str
        What the notebook needs on the mini profile, as measured; empty where the notebook is not known.
    """

    profile: str
    device: torch.device
    seed: int
    cost: str = ""

    def __str__(self) -> str:
        """Profile, device, versions, seed and cost, in one line."""
        import numpy
        import torch

        # Asked for without importing it, which takes 2 s: not every notebook needs torchvision.
        torchvision = metadata.version("torchvision")
        versions = f"torch {torch.__version__}, torchvision {torchvision}, numpy {numpy.__version__}"
        parts = [f"profile {self.profile}", f"device {_device_text(self.device)}", versions, f"seed {self.seed}"]
        return " | ".join([*parts, self.cost] if self.cost else parts)


_current: Session | None = None


def setup(profile: str | None = None, *, seed: int = 0, device: str | None = None) -> Session:
    """Choose profile, device and seed for this notebook, and print the choice in one line.

    Call it again at any time: it starts the random numbers anew.

    Parameters
    ----------
    profile : {"mini", "full"}, optional
        Without it, the environment variable ``COURSEKIT_PROFILE`` decides; without that, ``"mini"``.
    seed : int, default 0
        For Python's `random`, numpy's global generator and torch, on all devices; 0 to 2**32 - 1.
    device : str, optional
        A torch device such as ``"cpu"`` or ``"cuda:1"``. Without it: CUDA, else MPS, else the CPU.

    Returns
    -------
    Session

    Raises
    ------
    ValueError
        If the profile is unknown, the seed is out of range, or the device does not exist here.

    Notes
    -----
    On the mini profile one thread computes, unless the environment variable ``OMP_NUM_THREADS`` says how many: its
    networks are so small that threads wait for each other longer than they compute, and the last digits of a result do
    not depend on the number of cores.

    For a student, deprecation warnings are silent: a cell that runs today runs without red text. With the environment
    variable ``COURSEKIT_STRICT=1``, as the course's own tests set it, they are errors.
    """
    global _current
    chosen = _check_profile(profile)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to 2**32 - 1, not {seed!r}.")
    for category in _SOON_AN_ERROR:
        warnings.filterwarnings("error" if os.environ.get("COURSEKIT_STRICT") == "1" else "ignore", category=category)
    warnings.filterwarnings("ignore", module="ipykernel|IPython|traitlets")  # the kernel's own affairs
    warnings.filterwarnings("ignore", message=".*joblib will operate in serial mode")  # no shared memory: just slower
    logging.getLogger("matplotlib").addFilter(_not_about_home)
    _current = Session(chosen, _find_device(device), seed, _cost_of_this_notebook())
    _choose_threads(chosen)
    _seed_everything(seed)
    print(_current)
    if hint := _hint(_current):
        print(hint)
    return _current


def profile() -> str:
    """Return the profile in force: that of `setup`, or of ``COURSEKIT_PROFILE``, or ``"mini"``."""
    return _current.profile if _current else _check_profile(None)


def device() -> torch.device:
    """Return the device in force: that of `setup`, or the best one of this machine."""
    return _current.device if _current else _find_device(None)


def cache_dir() -> Path:
    """Return the folder for downloads, outside the repository; it is made if it is missing.

    ``COURSEKIT_CACHE`` names another one; otherwise it is the user's cache folder of the operating system.

    Raises
    ------
    OSError
        If the folder cannot be made, with what to do.
    """
    folder = Path(os.environ.get("COURSEKIT_CACHE") or user_cache_path("coursekit", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"cannot make the cache folder {folder} ({error.strerror}). "
            "Set the environment variable COURSEKIT_CACHE to a folder that you may write to."
        ) from error
    return folder


def lasting_folder() -> Path:
    """Return a folder for files that shall survive the session; it is made if it is missing.

    On Colab that is the folder ``coursekit`` on your Google Drive, and Colab first asks you for permission; without
    this call nothing is ever written there. Elsewhere it is your data folder of the operating system.

    Raises
    ------
    OSError
        If the folder cannot be made, or Drive is not there after Colab has asked.
    """
    if _on_colab():
        from google.colab import drive

        drive.mount(str(_DRIVE))
        folder = _DRIVE / "MyDrive" / "coursekit"
        if not folder.parent.is_dir():
            raise OSError("Google Drive is not mounted: run the cell again, and give Colab the permission it asks for.")
    else:
        folder = user_data_path("coursekit", appauthor=False)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _not_about_home(record: logging.LogRecord) -> bool:
    """Where the home cannot be written, matplotlib goes elsewhere, and says so in red in the middle of a lesson."""
    return not str(record.msg).startswith(("mkdir -p failed", "Matplotlib created a temporary"))


def _on_colab() -> bool:
    return "COLAB_RELEASE_TAG" in os.environ


def _hint(session: Session) -> str:
    """Say what would make this notebook run better here; empty where nothing needs to be said."""
    if _on_colab() and session.profile == "full" and session.device.type == "cpu":
        return (
            "There is no GPU in this session, and the full profile is slow without. To get one: menu Runtime, "
            "'Change runtime type', choose a GPU, save, and run the notebook from the top. The mini profile needs none."
        )
    return ""


@contextmanager
def progress_bar(*, show: bool = True, **options: object) -> Iterator:
    """Give a progress bar that is visible only where somebody can look at it: in a terminal or a notebook.

    It stays hidden in CI, and where the environment variable ``TQDM_DISABLE`` is set.

    Parameters
    ----------
    show : bool
        False hides it in any case.
    **options
        For tqdm, such as ``total``, ``unit`` and ``desc``.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    watched = sys.stderr.isatty() or hasattr(shell, "kernel")  # a notebook's stderr is no terminal
    hidden = not (show and watched) or "CI" in os.environ or "TQDM_DISABLE" in os.environ
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns where ipywidgets is missing, and draws its bar as text
        from tqdm.auto import tqdm
    with tqdm(disable=hidden, **options) as bar:
        yield bar


def _check_profile(given: str | None) -> str:
    origin = "profile" if given is not None else "the environment variable COURSEKIT_PROFILE"
    value = given if given is not None else os.environ.get("COURSEKIT_PROFILE") or "mini"
    if value not in PROFILES:
        raise ValueError(f'{origin} must be "mini" or "full", not {value!r}.')
    return value


def _find_device(name: str | None) -> torch.device:
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=name)  # a device that torch knows may still not be in this machine
        return torch.device(name)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device {name!r} is not available here. Leave `device` out, and the best one of this machine is taken."
        ) from error


def _device_text(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"{device} ({threads} thread{'s' * (threads > 1)})" if device.type == "cpu" else str(device)


_usual_threads = 0  # torch's own choice, for a change from mini to full


def _choose_threads(profile: str) -> None:
    global _usual_threads
    if os.environ.get("OMP_NUM_THREADS"):
        return
    import torch

    _usual_threads = _usual_threads or torch.get_num_threads()
    torch.set_num_threads(1 if profile == "mini" else _usual_threads)


def _seed_everything(seed: int) -> None:
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 -- libraries still draw from numpy's global generator
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def known_costs() -> dict[str, dict[str, int]]:
    """Return what each notebook cost when it was measured: its name, then ``seconds`` and ``megabytes``."""
    return json.loads(files("coursekit").joinpath("costs.json").read_text(encoding="utf-8"))


def _cost_of_this_notebook() -> str:
    """Look up the measured cost by the notebook's name, which Jupyter puts into the environment."""
    name = Path(os.environ.get("JPY_SESSION_NAME", "").replace("\\", "/")).stem
    cost = known_costs().get(name)
    return f"about {cost['seconds']} s and {cost['megabytes']} MB of memory on two CPU cores" if cost else ""
