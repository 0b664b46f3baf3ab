"""`fetch` against servers that cut, lie, hang, forget, refuse and redirect."""

import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coursekit import runtime
from coursekit.data import downloads
from coursekit.data.downloads import DownloadError, fetch
from tests import servers
from tests.servers import content, redirect, silence, status

DATA = random.Random(0).randbytes(700_000)  # longer than two of the chunks that fetch reads
SHA = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()
RIGHT = {"sha256": SHA, "size": len(DATA)}
HALF = len(DATA) // 2
REST = f"bytes={HALF}-"  # the range that continues after a half


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with servers.LocalServer() as local:
        yield local


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a folder" / "file.bin"


def part_of(path):
    return path.with_name(f".{path.name}.part")


def leave_part(path, data):
    path.parent.mkdir()
    part_of(path).write_bytes(data)


def failure(*args, **kwargs):
    """Return the message of the DownloadError that this fetch must end with."""
    with pytest.raises(DownloadError) as caught:
        fetch(*args, **kwargs)
    return str(caught.value)


# --- What should happen


def test_a_file_arrives(server, path, capsys):
    url = server.serve("/file.bin", content(DATA))
    assert fetch(url, path, **RIGHT) == path
    assert path.read_bytes() == DATA
    assert not part_of(path).exists()
    out, err = capsys.readouterr()
    assert out == f"Downloading file.bin (0.7 MB) to {path.parent}\n"
    assert err == ""  # no bar where nobody looks


def test_size_and_destination_are_printed_before_the_transfer(server, path, capsys, monkeypatch):
    printed = []
    original = runtime.progress_bar

    def watched(**options):
        printed.append(capsys.readouterr().out)
        return original(**options)

    monkeypatch.setattr(runtime, "progress_bar", watched)
    fetch(server.serve("/file.bin", content(DATA)), path)
    assert printed == [f"Downloading file.bin (0.7 MB) to {path.parent}\n"]


def test_progress_false_is_silent(server, path, capsys):
    fetch(server.serve("/file.bin", content(DATA)), path, progress=False, **RIGHT)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(server, path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    fetch(server.serve("/file.bin", content(DATA)), path, **RIGHT)
    assert "file.bin: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("known", [{}, {"md5": MD5}, {"sha256": SHA.upper()}, {"sha256": SHA[:8]}, {"size": len(DATA)}])
@pytest.mark.parametrize("length", [True, False])
def test_whatever_is_known_of_the_file(server, path, known, length):
    fetch(server.serve("/file.bin", content(DATA, length=length)), str(path), **known)
    assert path.read_bytes() == DATA


def test_an_empty_file(server, path):
    fetch(server.serve("/file.bin", content(b"")), path, size=0)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("known", [RIGHT, {"md5": MD5}, {"size": len(DATA)}, {}])
def test_the_right_file_needs_no_network(path, known, capsys):
    path.parent.mkdir()
    path.write_bytes(DATA)
    fetch(servers.dead_address(), path, **known)
    assert os.listdir(path.parent) == ["file.bin"]  # not even a lock: the folder may be read-only
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("wrong", [DATA[:-1], DATA[:-1] + b"x", b""])
def test_a_wrong_file_is_replaced(server, path, wrong, capsys):
    path.parent.mkdir()
    path.write_bytes(wrong)
    fetch(server.serve("/file.bin", content(DATA)), path, **RIGHT)
    assert path.read_bytes() == DATA
    assert "is not the expected file" in capsys.readouterr().out


def test_a_wrong_file_is_never_passed_off_as_right(path):
    path.parent.mkdir()
    path.write_bytes(b"the user's own")
    message = failure(servers.dead_address(), path, **RIGHT)
    assert f"Now {path} is not the expected file: 14 bytes instead of 700,000." in message
    assert path.read_bytes() == b"the user's own"  # not ours to delete


def test_redirects_are_followed(server, path):
    target = server.serve("/elsewhere", content(DATA))
    fetch(server.serve("/file.bin", redirect(target)), path, **RIGHT)
    assert path.read_bytes() == DATA


# --- Broken transfers


def test_a_cut_transfer_is_continued(server, path, capsys):
    fetch(server.serve("/file.bin", content(DATA, cut=HALF), content(DATA)), path, **RIGHT)
    assert path.read_bytes() == DATA
    assert server.ranges() == [None, REST]
    assert server.sent() == len(DATA)  # only the rest was sent again
    assert "the connection ended after 350,000 of 700,000 bytes" in capsys.readouterr().out


def test_interrupted_twice_then_right(server, path):
    url = server.serve("/file.bin", content(DATA, cut=HALF), content(DATA, cut=1000), content(DATA))
    failure(url, path, **RIGHT)
    assert not path.exists()
    fetch(url, path, **RIGHT)
    assert path.read_bytes() == DATA
    assert server.ranges() == [None, REST, f"bytes={HALF + 1000}-"]
    assert server.sent() == len(DATA)


def test_a_server_without_ranges_sends_everything_again(server, path):
    answers = content(DATA, cut=HALF, ranges=False), content(DATA, ranges=False)
    fetch(server.serve("/file.bin", *answers), path, **RIGHT)
    assert path.read_bytes() == DATA
    assert server.ranges() == [None, REST]


def test_without_a_checksum_nothing_is_continued(server, path):
    leave_part(path, b"of something else")
    fetch(server.serve("/file.bin", content(DATA, cut=HALF), content(DATA)), path, size=len(DATA), md5=None)
    assert path.read_bytes() == DATA
    assert server.ranges()[0] is None


def test_a_part_of_another_version_is_dropped(server, path):
    leave_part(path, b"x" * HALF)
    fetch(server.serve("/file.bin", content(DATA)), path, **RIGHT)
    assert path.read_bytes() == DATA
    assert server.ranges() == [REST, None]


@pytest.mark.parametrize("known", [RIGHT, {"sha256": SHA}, {"sha256": SHA[:12]}])
@pytest.mark.parametrize("extra", [0, 10])
def test_a_part_as_long_as_the_file_or_longer_is_dropped(server, path, extra, known):
    leave_part(path, b"x" * (len(DATA) + extra))
    fetch(server.serve("/file.bin", content(DATA)), path, **known)
    assert path.read_bytes() == DATA


def test_a_rest_that_does_not_fit_is_not_appended(server, path):
    leave_part(path, DATA[:HALF])
    fetch(server.serve("/file.bin", content(DATA[:-5]), content(DATA)), path, **RIGHT)
    assert path.read_bytes() == DATA
    assert server.ranges() == [REST, None]


@pytest.mark.parametrize(
    "answer", [content(b"busy", ranges=False), content(b"<html>", ranges=False), status(503), servers.reset]
)
def test_a_refusal_does_not_cost_what_has_arrived(server, path, answer):
    leave_part(path, DATA[:HALF])
    fetch(server.serve("/file.bin", answer, content(DATA)), path, **RIGHT)
    assert path.read_bytes() == DATA
    assert server.ranges() == [REST, REST]


def test_a_complete_part_needs_no_network(path):
    leave_part(path, DATA)
    fetch(servers.dead_address(), path, sha256=SHA)
    assert path.read_bytes() == DATA


def test_a_server_that_sends_another_part_than_asked_for(server, path):
    leave_part(path, DATA[:HALF])
    fetch(server.serve("/file.bin", content(DATA, range_header="bytes 0-9/10"), content(DATA)), path, **RIGHT)
    assert path.read_bytes() == DATA
    assert server.ranges() == [REST, None]


def test_an_interrupted_call_is_continued(server, path, monkeypatch):
    url = server.serve("/file.bin", content(DATA))
    original = downloads._read
    answers = iter([True, True, False])

    def read_two_then_stop(*args):
        if next(answers):
            return original(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_read", read_two_then_stop)
        with pytest.raises(KeyboardInterrupt):
            fetch(url, path, **RIGHT)
    assert not path.exists()
    arrived = part_of(path).stat().st_size
    assert 512 < arrived < len(DATA)
    fetch(url, path, **RIGHT)
    assert path.read_bytes() == DATA
    assert server.ranges() == [None, f"bytes={arrived}-"]


# --- Failures: each says what happened and what to do, and leaves nothing at the final name


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (content(DATA, cut=HALF, ranges=False), "the connection ended after 350,000 of 700,000 bytes"),
        (content(DATA[:-1] + b"x"), f"instead of {SHA}"),
        (content(DATA[:-1]), "the server offers 699,999 bytes instead of 700,000"),
        (content(DATA[:-1], length=False), "the connection ended after 699,999 of 700,000 bytes"),
        (content(DATA + b"x", length=False), "the wrong contents arrived: 700,001 bytes"),
        (servers.endless, "the wrong contents arrived: "),
        (silence, "no answer within 0.2 s"),
        (content(DATA, cut=HALF, ranges=False, then=lambda server: server.closing.wait()), "no answer within"),
        (servers.reset, "no connection, or a broken one"),
        (status(404), "the server answered 404 (Not Found)"),
        (status(403), "the server answered 403 (Forbidden)"),
        (status(503), "the server answered 503"),
        (content(b"<!DOCTYPE html><title>Log in</title>"), "a web page came instead of the file"),
        (content(b"Please log in", kind="text/html; charset=utf-8"), "a web page came instead of the file"),
        (redirect("/login"), "the server answered 404"),
        (redirect("/file.bin"), "infinite loop"),
    ],
)
def test_failures(server, path, answer, cause):
    url = server.serve("/file.bin", answer)
    message = failure(url, path, timeout=0.2, **RIGHT)
    assert message.startswith("file.bin could not be downloaded.")
    assert message.count(f"\n  {url}: ") == 2  # one retry
    assert cause in message
    assert 'coursekit.setup("mini")' in message
    assert f"{path} (700,000 bytes, sha256 {SHA})" in message  # where to put it by hand
    assert not path.exists()


def test_nobody_listens(path):
    message = failure(servers.dead_address(), path, md5=MD5)
    assert "no connection" in message
    assert "refused" in message
    assert f"{path} (md5 {MD5})" in message
    assert not path.exists()


def test_no_network_at_all(path, monkeypatch):
    def no_name(*_, **__):
        raise downloads.urllib.error.URLError(OSError(-3, "Temporary failure in name resolution"))

    monkeypatch.setattr(downloads.urllib.request, "urlopen", no_name)
    message = failure("https://example.org/file.bin", path)
    assert "Temporary failure in name resolution" in message
    assert "mini profile" in message


def test_a_login_page_behind_a_redirect_is_named(server, path):
    login = server.serve("/login", content(b"<html>Log in</html>", kind="text/html"))
    message = failure(server.serve("/file.bin", redirect(login)), path, **RIGHT)
    assert f"from {login}; perhaps this network wants you to log in" in message


def test_after_wrong_contents_no_part_is_left(server, path):
    failure(server.serve("/file.bin", content(DATA[:-1] + b"x")), path, **RIGHT)
    assert not part_of(path).exists()


@pytest.mark.parametrize(
    "answer", [status(500), status(404), servers.reset, content(DATA, cut=HALF), content(b"<html>")]
)
def test_the_mirror_is_tried(server, path, answer):
    first = server.serve("/first.bin", answer)
    second = server.serve("/second.bin", content(DATA))
    fetch([first, second], path, **RIGHT)
    assert path.read_bytes() == DATA
    assert [request.path for request in server.requests] == ["/first.bin", "/second.bin"]


def test_dead_first_address(server, path, capsys):
    second = server.serve("/second.bin", content(DATA))
    fetch((servers.dead_address(), second), path, **RIGHT)
    assert path.read_bytes() == DATA
    assert f"Trying {second}" in capsys.readouterr().out


# --- The disk


def test_too_little_space_is_seen_before_the_transfer(server, path, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=300_000)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    message = failure(server.serve("/file.bin", content(DATA)), path, **RIGHT)
    assert "needs 0.7 MB more, but only 0.3 MB are free" in message
    assert "COURSEKIT_CACHE" in message
    assert len(server.requests) == 1  # trying again would not help
    assert not path.exists()


def test_what_is_there_already_needs_no_space(server, path, monkeypatch):
    leave_part(path, DATA[:HALF])
    usage = shutil.disk_usage("/")._replace(free=len(DATA) - HALF)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    fetch(server.serve("/file.bin", content(DATA)), path, **RIGHT)
    assert path.read_bytes() == DATA


def test_the_disk_fills_up(server, path, monkeypatch):
    original = Path.open

    class FullDisk:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def tell(self):
            return self.file.tell()

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def open_part(self, mode="r", *args, **kwargs):
        file = original(self, mode, *args, **kwargs)
        return FullDisk(file) if self == part_of(path) and mode != "rb" else file

    url = server.serve("/file.bin", content(DATA))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_part)
        message = failure(url, path, **RIGHT)
    assert f"The disk of {path.parent} is full" in message
    assert "COURSEKIT_CACHE" in message
    assert not path.exists()
    fetch(url, path, **RIGHT)
    assert path.read_bytes() == DATA


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "a folder").write_text("a file in its place")
    message = failure(server.serve("/file.bin", content(DATA)), tmp_path / "a folder" / "file.bin", **RIGHT)
    assert "cannot be written to" in message
    assert "COURSEKIT_CACHE" in message
    assert server.requests == []


def test_a_folder_without_permission(server, path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(downloads.FileLock, "acquire", refuse)
    message = failure(server.serve("/file.bin", content(DATA)), path, **RIGHT)
    assert f"The folder {path.parent} cannot be written to (Permission denied)" in message


def test_the_name_belongs_to_a_folder(server, path):
    path.mkdir(parents=True)
    assert "could not be stored" in failure(server.serve("/file.bin", content(DATA)), path)


# --- Two at once


def test_threads_transfer_it_once(server, path):
    url = server.serve("/file.bin", content(DATA))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: fetch(url, path, **RIGHT).read_bytes(), range(8)))
    assert results == [DATA] * 8
    assert len(server.requests) == 1


CALL = "import sys; from coursekit.data import downloads; downloads.fetch(sys.argv[1], sys.argv[2], sha256=sys.argv[3])"


def start_process(url, path):
    environment = {**os.environ, "no_proxy": "*", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-W", "error", "-c", CALL, url, str(path), SHA]
    root = Path(downloads.__file__).parents[1]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)


def test_processes_transfer_it_once(server, path):
    second_waits = threading.Event()

    def half_then_wait(handler):
        content(DATA, cut=HALF, then=lambda _: second_waits.wait())(handler)
        handler.wfile.write(DATA[HALF:])

    url = server.serve("/file.bin", half_then_wait)
    with start_process(url, path) as first:
        assert first.stdout.readline().startswith("Downloading")
        with start_process(url, path) as second:
            assert "waiting for it" in second.stdout.readline()
            second_waits.set()
            assert second.wait() == 0
        assert first.wait() == 0
    assert path.read_bytes() == DATA
    assert len(server.requests) == 1


def test_a_killed_process_blocks_nobody(server, path):
    hang = content(DATA, cut=HALF, then=lambda server: server.closing.wait())
    url = server.serve("/file.bin", hang, content(DATA))
    with start_process(url, path) as killed:
        assert killed.stdout.readline().startswith("Downloading")
        killed.kill()
    assert not path.exists()
    fetch(url, path, **RIGHT)
    assert path.read_bytes() == DATA


# --- Arguments


@pytest.mark.parametrize(
    ("urls", "known", "message"),
    [
        ([], {}, "at least one"),
        ("file:///etc/hostname", {}, "http:// or https://"),
        (["http://a.org/x", "ftp://a.org/x"], {}, "http:// or https://"),
        ("http://a.org/x", {"sha256": SHA, "md5": MD5}, "not both"),
        ("http://a.org/x", {"sha256": MD5}, "sha256 must be 64, or the first 8 to 16, hexadecimal digits"),
        ("http://a.org/x", {"md5": "no such sum"}, "md5 must be 32 hexadecimal digits"),
    ],
)
def test_wrong_arguments(path, urls, known, message):
    with pytest.raises(ValueError, match=message):
        fetch(urls, path, **known)
    assert not path.parent.exists()


@pytest.mark.parametrize(
    "options", [{"timeout": "1"}, {"timeout": 0}, {"size": 1.5}, {"size": -1}, {"md5": 5}, {"sha256": b"a"}]
)
def test_odd_options(options, path):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(options))} must be"):
        fetch("http://127.0.0.1:9/file", path, **options)
