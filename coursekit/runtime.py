"""The first call of every notebook: which profile, which device, which seed. Functions that need torch import it."""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from coursekit import arguments

if TYPE_CHECKING:
    import torch

_HERE = Path(__file__).parent
DATA = (_HERE / "_data", _HERE.parent / "data")  # what the course has stored: in a wheel, in the repository


@dataclass(frozen=True)
class Session:
    """What `setup` chose, and what the notebook costs where that is known; as text, the line that `setup` prints."""

    profile: str
    device: torch.device
    seed: int
    cost: str = ""

    def __str__(self) -> str:
        """Profile, device, versions, seed and cost, in one line."""
        import numpy
        import torch

        details = f" ({torch.cuda.get_device_name(self.device)})" if self.device.type == "cuda" else ""
        if self.device.type == "cpu":
            details = f" ({torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)})"
        torchvision = metadata.version("torchvision")  # importing it takes 2 s, and not every notebook needs it
        versions = f"torch {torch.__version__}, torchvision {torchvision}, numpy {numpy.__version__}"
        parts = [f"profile {self.profile}", f"device {self.device}{details}", versions, f"seed {self.seed}"]
        return " | ".join(filter(None, [*parts, self.cost]))


_current: Session | None = None
_usual_threads = 0  # torch's own choice, for a change from mini to full


def setup(profile: str | None = None, *, seed: int = 0, device: str | None = None) -> Session:
    """Choose profile, device and seed for this notebook, and print the choice in one line.

    On the mini profile one thread computes, which is quicker for small networks, unless the environment variable
    ``OMP_NUM_THREADS`` says how many. Deprecation warnings are silent; with ``COURSEKIT_STRICT=1`` they are errors.

    Parameters
    ----------
    profile : {"mini", "full"}, optional
        Without it, the environment variable ``COURSEKIT_PROFILE`` decides; without that, ``"mini"``.
    seed : int
        For Python's `random`, numpy's global generator and torch, on all devices; 0 to 2**32 - 1.
    device : str, optional
        A torch device that is here, such as ``"cpu"`` or ``"cuda:1"``. Without it: CUDA, else MPS, else the CPU.
    """
    global _current
    chosen = _check_profile(profile)
    seed = arguments.whole("seed", seed, 0, 2**32 - 1)
    _current = Session(chosen, _find_device(device), seed, _cost_of_this_notebook())
    _prepare(chosen, seed)
    print(_current)
    if "COLAB_RELEASE_TAG" in os.environ and chosen == "full" and _current.device.type == "cpu":
        print(
            "There is no GPU in this session, and the full profile is slow without. To get one: menu Runtime, "
            "'Change runtime type', choose a GPU, save, and run the notebook from the top. The mini profile needs none."
        )
    return _current


def profile() -> str:
    """Return the profile in force: that of `setup`, or of ``COURSEKIT_PROFILE``, or ``"mini"``."""
    return _current.profile if _current else _check_profile(None)


def device(name: str | torch.device | None = None) -> torch.device:
    """Return the device of that name, a ValueError if it is not here; without one that of `setup`, or the best one."""
    return _current.device if _current and name is None else _find_device(name)


def cache_dir() -> Path:
    """Return the folder for downloads: ``COURSEKIT_CACHE``, or your cache folder; an OSError if it cannot be made."""
    named = os.path.expandvars(os.environ.get("COURSEKIT_CACHE", "").strip())
    folder = Path(named) if named else user_cache_path("coursekit", appauthor=False)
    try:
        folder = folder.expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: "~" of somebody who is not a user here
        advice = "Set the environment variable COURSEKIT_CACHE to a folder that you may write to."
        raise OSError(f"cannot make the folder {folder} ({getattr(error, 'strerror', error)}). {advice}") from error
    return folder


def progress_bar(*, show: bool = True, **options: Any) -> Any:
    """Return a bar of tqdm, with its options; it hides where nobody looks, in CI, and where ``TQDM_DISABLE`` is set."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    watched = sys.stderr.isatty() or hasattr(shell, "kernel")  # a notebook's stderr is no terminal
    hidden = not (show and watched) or "CI" in os.environ or "TQDM_DISABLE" in os.environ
    with warnings.catch_warnings(action="ignore"):  # of tqdm where ipywidgets is missing: it draws its bar as text
        from tqdm.auto import tqdm
    return tqdm(disable=hidden, **options)


def _check_profile(given: str | None) -> str:
    value = given if given is not None else os.environ.get("COURSEKIT_PROFILE") or "mini"
    if value not in ("mini", "full"):
        raise ValueError(f'profile, or the variable COURSEKIT_PROFILE, must be "mini" or "full", not {value!r}.')
    return value


def _find_device(name: str | torch.device | None) -> torch.device:
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=name)  # a device that torch knows may still not be in this machine
        return torch.device(name)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device {str(name)!r} is not available here. Leave it out for the best one.") from error


def _prepare(profile: str, seed: int) -> None:
    """Seed all random numbers, choose the threads, and keep red text from the lesson that is of no use there."""
    global _usual_threads
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 -- libraries still draw from numpy's global generator
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if not os.environ.get("OMP_NUM_THREADS"):
        _usual_threads = _usual_threads or torch.get_num_threads()
        torch.set_num_threads(1 if profile == "mini" else _usual_threads)
    strict = os.environ.get("COURSEKIT_STRICT") == "1"
    for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
        warnings.filterwarnings("error" if strict else "ignore", category=category)
    warnings.filterwarnings("ignore", module="ipykernel|IPython|traitlets")  # the kernel's own affairs
    warnings.filterwarnings("ignore", message=".*joblib will operate in serial mode")  # no shared memory: just slower
    logging.getLogger("matplotlib").addFilter(_not_about_home)


def _not_about_home(record: logging.LogRecord) -> bool:  # of which matplotlib complains where it cannot be written
    return not str(record.msg).startswith(("mkdir -p failed", "Matplotlib created a temporary"))


def known_costs() -> dict[str, dict[str, int]]:
    """Return what each notebook cost when it was measured: its name, then ``seconds`` and ``megabytes``."""
    return json.loads(Path(__file__).with_name("costs.json").read_text(encoding="utf-8"))


def _cost_of_this_notebook() -> str:
    cost = known_costs().get(Path(os.environ.get("JPY_SESSION_NAME", "").replace("\\", "/")).stem)  # from Jupyter
    return f"about {cost['seconds']} s and {cost['megabytes']} MB of memory on two CPU cores" if cost else ""
