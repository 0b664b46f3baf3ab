"""What several test files share: the site, built once per run, and how a run is divided among processes."""

from pathlib import Path

import pytest
from filelock import FileLock

from tools import execute

ROOT = Path(__file__).parent.parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep a file's tests in one process, but let each notebook and hard time go to a free one; longest first."""
    seconds = {stem: cost["seconds"] for stem, cost in execute.known_costs().items()}

    def length(item):
        if item.originalname == "test_running_again_gives_no_diff":
            return seconds.get(item.callspec.id, 30)
        if item.originalname == "test_stress":
            return 40
        return 200 if item.path.stem == "test_browser" else 0

    for item in items:
        alone = length(item) and item.path.stem != "test_browser"
        item.add_marker(pytest.mark.xdist_group(item.name if alone else item.path.stem))
    items.sort(key=length, reverse=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, built from the notebooks as they stand; one build serves all processes of a test run."""
    pytest.importorskip("sphinx", reason="the site needs the extra `site`")
    from tools import site as builder

    folder = ROOT / "build" / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    run = tmp_path_factory.getbasetemp()
    stamp = (run.parent if run.name.startswith("popen-") else run) / "site-is-built"
    with FileLock(folder / "lock", timeout=240):
        if not stamp.exists():
            builder.build(ROOT, folder=folder)
            stamp.touch()
    return folder / "site"
