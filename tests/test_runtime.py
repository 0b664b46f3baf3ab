"""`setup`: profile, device, seed, the printed line, and what it does to warnings."""

import json
import random
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import coursekit
from coursekit import runtime


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    for name in ("COURSEKIT_PROFILE", "COURSEKIT_STRICT", "COURSEKIT_CACHE", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(runtime, "_current", None)
    with warnings.catch_warnings():
        yield


def test_prints_one_line_and_returns_what_it_chose(capsys):
    session = coursekit.setup()
    printed = capsys.readouterr().out
    assert printed == f"{session}\n"
    assert printed.count("\n") == 1
    assert (session.profile, session.seed) == ("mini", 0)
    for part in ("profile mini", f"torch {torch.__version__}", f"numpy {np.__version__}", "seed 0"):
        assert part in printed


@pytest.mark.parametrize(("argument", "variable", "expected"), [
    (None, None, "mini"),
    (None, "", "mini"),
    (None, "full", "full"),
    ("mini", "full", "mini"),
    ("full", None, "full"),
])  # fmt: skip
def test_profile_from_argument_then_variable(monkeypatch, argument, variable, expected):
    if variable is not None:
        monkeypatch.setenv("COURSEKIT_PROFILE", variable)
    assert coursekit.setup(argument).profile == expected == runtime.profile()


def test_profile_before_setup_follows_the_variable(monkeypatch):
    assert runtime.profile() == "mini"
    monkeypatch.setenv("COURSEKIT_PROFILE", "full")
    assert runtime.profile() == "full"


def test_unknown_profile(monkeypatch):
    with pytest.raises(ValueError, match=r'profile.* must be "mini" or "full", not \'big\''):
        coursekit.setup("big")
    monkeypatch.setenv("COURSEKIT_PROFILE", "Mini")
    with pytest.raises(ValueError, match="variable COURSEKIT_PROFILE, must be"):
        coursekit.setup()


def test_seeds_python_numpy_and_torch():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    coursekit.setup(seed=7)
    first = draw()
    assert draw() != first
    coursekit.setup(seed=7)
    assert draw() == first
    coursekit.setup(seed=8)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "0", True, None])
def test_bad_seed(seed):
    with pytest.raises((ValueError, TypeError), match=r"seed must be (a whole number|at (least|most))"):
        coursekit.setup(seed=seed)


def test_device_is_the_best_of_the_machine(monkeypatch):
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert coursekit.setup().device.type == runtime.device().type == best
    assert coursekit.setup(device="cpu").device == torch.device("cpu") == runtime.device()


def test_device_prefers_cuda_then_mps(monkeypatch):
    monkeypatch.setattr(torch, "empty", lambda *args, **kwargs: None)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert runtime._find_device(None).type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime._find_device(None).type == "cuda"


@pytest.mark.parametrize("name", ["warp", "cuda:99", "", 3.5])
def test_device_that_is_not_here(name):
    with pytest.raises(ValueError, match="not available here\\. Leave"):
        coursekit.setup(device=name)


def test_a_failed_setup_changes_nothing():
    before = coursekit.setup(seed=3)
    with pytest.raises(ValueError, match="not available"):
        coursekit.setup(device="warp")
    assert runtime._current is before


@pytest.mark.parametrize("category", [DeprecationWarning, PendingDeprecationWarning, FutureWarning])
def test_deprecations_are_silent_for_students_and_errors_under_test(monkeypatch, category):
    coursekit.setup()
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn("old", category, stacklevel=1)
    assert seen == []
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    coursekit.setup()
    with pytest.raises(category, match="old"):
        warnings.warn("old", category, stacklevel=1)


def test_cost_of_a_known_notebook(monkeypatch):
    costs = json.loads((Path(runtime.__file__).parent / "costs.json").read_text())
    for name, cost in costs.items():
        monkeypatch.setenv("JPY_SESSION_NAME", f"some/folder/{name}.ipynb")
        assert f"about {cost['seconds']} s" in str(coursekit.setup())
    monkeypatch.setenv("JPY_SESSION_NAME", "my own.ipynb")
    assert coursekit.setup().cost == ""


@pytest.mark.parametrize("named", ["my cache é/deep", "~/x", "$HOME/x", "", "  "])
def test_cache_dir_is_made_where_the_variable_says(monkeypatch, tmp_path, named):
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSEKIT_CACHE", named)
    expected = {"my cache é/deep": tmp_path / named, "~/x": tmp_path / "home/x", "$HOME/x": tmp_path / "home/x"}
    folder = runtime.cache_dir()
    assert folder == expected.get(named, runtime.user_cache_path("coursekit", appauthor=False))
    assert folder.is_dir()
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "my cache é"}
    monkeypatch.chdir("/")
    assert folder.is_dir()  # a relative path stays where it was


def test_the_folder_of_the_system_may_be_below_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(runtime, "user_cache_path", lambda name, appauthor: Path("~/caches", name))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert runtime.cache_dir() == tmp_path / "caches" / "coursekit"


@pytest.mark.parametrize("named", ["file", "file/cache", "~nobody-of-that-name/x"])
def test_cache_dir_that_cannot_be_made(monkeypatch, tmp_path, named):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSEKIT_CACHE", named)
    with pytest.raises(OSError, match=r"cannot make the folder .*Set the environment variable COURSEKIT_CACHE"):
        runtime.cache_dir()


def test_cache_dir_lies_outside_the_repository():
    assert Path(runtime.__file__).parent.parent not in runtime.user_cache_path("coursekit", appauthor=False).parents


def test_importing_the_package_imports_neither_torch_nor_matplotlib():
    code = "import coursekit, sys; print([m for m in ('torch', 'matplotlib', 'skimage', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version_has_the_usual_form():
    assert re.fullmatch(r"\d+\.\d+\.\d+", coursekit.__version__)


def test_the_bar_is_hidden_where_nobody_looks_and_in_ci(capsys, monkeypatch):
    def drawn():
        with runtime.progress_bar(total=3, desc="counting") as bar:
            bar.update(3)
        return "counting" in capsys.readouterr().err

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert not drawn()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert drawn()
    for variable in ("CI", "TQDM_DISABLE"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, "1")
            assert not drawn()


def test_colab_hears_of_the_gpu_only_where_it_matters(monkeypatch, capsys):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    coursekit.setup("mini", device="cpu")
    assert "GPU" not in capsys.readouterr().out
    coursekit.setup("full", device="cpu")
    assert "Change runtime type" in capsys.readouterr().out
    monkeypatch.delenv("COLAB_RELEASE_TAG")
    coursekit.setup("full", device="cpu")
    assert "GPU" not in capsys.readouterr().out
    coursekit.setup("mini", device="cpu")


@pytest.mark.parametrize(("variable", "threads"), [("", 1), ("3", 3)])
def test_small_networks_get_one_thread_unless_somebody_says_otherwise(monkeypatch, variable, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(runtime, "_usual_threads", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        coursekit.setup(device="cpu")
        assert torch.get_num_threads() == threads
        coursekit.setup("full", device="cpu")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
