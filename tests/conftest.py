"""What several test files share: slow tests, the site, and how a run is divided among processes."""

from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent
SEEDS = (0, 1, 2)  # of what is trained in tests: the first by day, all at night
FIRST = ("test_grading_catalogue", "test_browser", "test_execute", "test_labs_make")  # long files begin early


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="also the tests marked slow, which belong to the night")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: runs with `--all` only")
    config.addinivalue_line("markers", "trained: says how good something trained is, for any `seed` and processor")


def pytest_generate_tests(metafunc):
    """Give each test of something trained its seeds; `test_processors` runs these under other instruction sets, too."""
    if metafunc.definition.get_closest_marker("trained"):
        metafunc.parametrize("seed", SEEDS if metafunc.config.getoption("--all") else SEEDS[:1], scope="module")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leave out slow tests by day; keep a file's tests in one process, but let each slow one go to a free one.

    All that look at the site are together, so that none waits until another process has built it.
    """
    skip = pytest.mark.skip(reason="slow: `make test-all`")
    for item in items:
        slow, group = item.get_closest_marker("slow"), item.path.stem
        if slow and not config.getoption("--all"):
            item.add_marker(skip)
        elif slow:
            group = item.nodeid
        elif "site" in item.fixturenames:
            group = "test_browser"
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (not item.get_closest_marker("slow"), item.path.stem not in FIRST))


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the site, built from the notebooks as they stand; one build serves all processes of a test run."""
    pytest.importorskip("sphinx", reason="the site needs the dependency group `site`")
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
