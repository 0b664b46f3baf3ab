"""What the course says of something trained holds on every processor: other instruction sets and seeds, at night.

Sums differ in their last digits from processor to processor, and a training makes much of them.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SEEDS
from tests.notebook_functions import NOTEBOOKS, run_with

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
SETS = {  # of instructions, for torch's own kernels and for oneDNN's; a processor leaves out what it does not have
    "its own": {},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "sse": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}


def run(name, *arguments):
    environment = os.environ | SETS[name]
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="these are instruction sets of x86")
def test_the_instructions_can_be_chosen():
    """Else the other tests would compute the same three times."""
    code = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    assert run("sse", "-c", code).stdout.strip() == "DEFAULT"
    assert run("avx2", "-c", code).stdout.strip() in ("AVX2", "DEFAULT")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [name for name in SETS if SETS[name]])  # with its own the tests run anyway
def test_what_a_test_says_of_something_trained_holds(name):
    done = run(name, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--all", "-m", "trained", "tests")
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")), ids=lambda path: path.stem)
@pytest.mark.parametrize(("name", "seed"), list(zip(SETS, reversed(SEEDS), strict=True)))
def test_what_a_notebook_says_of_something_trained_holds(path, name, seed, tmp_path, monkeypatch):
    for variable, value in SETS[name].items():
        monkeypatch.setenv(variable, value)
    startup = f"import functools, coursekit\ncoursekit.setup = functools.partial(coursekit.setup, seed={seed})\n"
    error, printed = run_with(startup, path, tmp_path, monkeypatch)
    assert error == ""
    assert f"| seed {seed}" in printed
