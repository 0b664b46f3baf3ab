"""What several test files share: the site, built once per run."""

from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, built from the notebooks as they stand; one build serves all processes of a test run."""
    pytest.importorskip("sphinx", reason="the site needs the extra `site`")
    from coursekit.authoring import site as builder

    folder = ROOT / "build" / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    run = tmp_path_factory.getbasetemp()
    stamp = (run.parent if run.name.startswith("popen-") else run) / "site-is-built"
    with FileLock(folder / "lock", timeout=240):
        if not stamp.exists():
            builder.build(ROOT, folder=folder)
            stamp.touch()
    return folder / "site"
