"""The scripts of tests/stress, each in a small version."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "stress"
SMALL = {
    "kill": ["--kills", "4"],
    "downloads": ["--small"],
    "badimages": [],
    "surroundings": ["--small"],
    "together": ["--small"],
}
OTHERS = {"__init__", "common", "shared_cache"}


def test_every_script_is_tried():
    assert {path.stem for path in SCRIPTS.glob("*.py")} == {*SMALL, *OTHERS}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="forks, mounts and makes pipes")
@pytest.mark.parametrize("name", SMALL)
def test_stress(name):
    done = subprocess.run(
        [sys.executable, SCRIPTS / f"{name}.py", *SMALL[name]], capture_output=True, text=True, check=False
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["wrong"] == []
    assert done.returncode == 0
    assert sum(number for _, number, _ in result["rows"]) >= 4
