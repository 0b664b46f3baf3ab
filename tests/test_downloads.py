"""`fetch` from servers that cut, hang, forget, refuse and redirect; `unpack`; and two processes at once."""

import errno
import gzip
import hashlib
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coursekit.data import downloads
from coursekit.data.downloads import DownloadError, fetch, unpack
from tests import servers
from tests.odd_archives import FILES, make_tar, make_zip
from tests.servers import content, redirect, silence, status

HALF = 5 * downloads._CHUNK  # a part of a chunk is not kept
DATA = random.Random(0).randbytes(2 * HALF + 1000)
SHA = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA).hexdigest()
REST = f"bytes={HALF}-"  # the range that continues after a half


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloads, "_TIMEOUT", 0.2)
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


# --- What should happen


@pytest.mark.parametrize("known", [{"md5": MD5}, {"sha256": SHA.upper()}, {"sha256": SHA[:8]}])
@pytest.mark.parametrize("length", [True, False])
def test_a_file_arrives(server, path, known, length, capsys):
    url = server.serve("/file.bin", content(DATA, length=length))
    assert fetch(url, str(path), **known) == path
    assert path.read_bytes() == DATA
    assert not part_of(path).exists()
    out, err = capsys.readouterr()
    assert out == f"Downloading file.bin ({'0.7 MB' if length else 'size unknown'}) to {path.parent}\n"
    assert err == ""  # no bar where nobody looks


def test_a_terminal_gets_a_bar(server, path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    fetch(server.serve("/file.bin", content(DATA)), path, sha256=SHA)
    assert "file.bin: 100%" in capsys.readouterr().err


def test_the_right_file_needs_no_network(path, capsys):
    path.parent.mkdir()
    path.write_bytes(DATA)
    fetch(servers.dead_address(), path, md5=MD5)
    assert os.listdir(path.parent) == ["file.bin"]  # not even a lock: the folder may be read-only
    assert capsys.readouterr().out == ""


def test_a_wrong_file_is_replaced_by_the_right_one_only(server, path):
    path.parent.mkdir()
    path.write_bytes(b"the user's own")
    with pytest.raises(DownloadError, match="The file that is there now is another one"):
        fetch(servers.dead_address(), path, sha256=SHA)
    assert path.read_bytes() == b"the user's own"  # not ours to delete
    fetch(server.serve("/file.bin", content(DATA)), path, sha256=SHA)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("known", [{}, {"sha256": SHA, "md5": MD5}, {"sha256": ""}])
def test_one_checksum_is_needed(path, known):
    with pytest.raises(ValueError, match="give the checksum"):
        fetch("http://example.org/file.bin", path, **known)


# --- Broken transfers are continued


def test_a_cut_transfer_is_continued(server, path):
    url = server.serve("/file.bin", content(DATA, cut=HALF), content(DATA, cut=downloads._CHUNK), content(DATA))
    with pytest.raises(DownloadError):
        fetch(url, path, sha256=SHA)
    assert not path.exists()
    fetch(url, path, sha256=SHA)
    assert path.read_bytes() == DATA
    assert server.ranges() == [None, REST, f"bytes={HALF + downloads._CHUNK}-"]
    assert server.sent() == len(DATA)  # only the rest was sent again


def test_a_server_without_ranges_sends_everything_again(server, path):
    answers = content(DATA, cut=HALF, ranges=False), content(DATA, ranges=False)
    fetch(server.serve("/file.bin", *answers), path, sha256=SHA)
    assert path.read_bytes() == DATA
    assert server.ranges() == [None, REST]


@pytest.mark.parametrize("part", [b"x" * HALF, b"x" * len(DATA), b"x" * (len(DATA) + 10)])
def test_a_part_of_another_version_is_dropped(server, path, part):
    leave_part(path, part)
    fetch(server.serve("/file.bin", content(DATA)), path, sha256=SHA)
    assert path.read_bytes() == DATA
    assert server.ranges()[-1] is None


@pytest.mark.parametrize("answer", [content(b"<html>", kind="text/html", ranges=False), status(503), servers.reset])
def test_a_refusal_does_not_cost_what_has_arrived(server, path, answer):
    leave_part(path, DATA[:HALF])
    fetch(server.serve("/file.bin", answer, content(DATA)), path, sha256=SHA)
    assert path.read_bytes() == DATA
    assert server.ranges() == [REST, REST]


# --- Failures: each says what happened and what to do, and leaves nothing at the final name


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (content(DATA, cut=HALF, ranges=False), "IncompleteRead"),
        (content(DATA[:-1] + b"x"), f"instead of {SHA}"),
        (content(DATA[:-1], length=False), f"instead of {SHA}"),
        (silence, "Read timed out"),
        (content(DATA, cut=HALF, ranges=False, then=lambda server: server.closing.wait()), "Read timed out"),
        (servers.reset, "Connection"),
        (status(404), "404"),
        (status(503), "503"),
        (content(b"Please log in", kind="text/html; charset=utf-8"), "a web page came instead of the file"),
        (redirect("/login"), "perhaps this network wants you to log in first"),
    ],
)
def test_failures(server, path, answer, cause):
    server.serve("/login", content(b"<html>Log in</html>", kind="text/html"))
    url = server.serve("/file.bin", answer)
    with pytest.raises(DownloadError, match=r"file\.bin could not be downloaded") as caught:
        fetch(url, path, sha256=SHA)
    message = str(caught.value)
    assert message.count(f"\n  {url}: ") == 2  # one retry
    assert cause in message
    assert 'coursekit.setup("mini")' in message
    assert f"{path} (sha256 {SHA})" in message  # where to put it by hand
    assert not path.exists()


def test_no_network_at_all(path, monkeypatch):
    def no_name(*_, **__):
        raise OSError(-3, "Temporary failure in name resolution")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("socket.getaddrinfo", no_name)
    with pytest.raises(DownloadError, match=r"(?s)Temporary failure in name resolution.*mini profile"):
        fetch("https://example.org/file.bin", path, sha256=SHA)


@pytest.mark.parametrize("answer", [status(404), content(DATA, cut=HALF), content(b"wrong")])
def test_the_mirror_is_tried(server, path, answer):
    first = server.serve("/first.bin", answer)
    second = server.serve("/second.bin", content(DATA))
    fetch([servers.dead_address(), first, second], path, sha256=SHA)
    assert path.read_bytes() == DATA
    assert [request.path for request in server.requests] == ["/first.bin", "/second.bin"]


# --- The disk


def test_the_disk_fills_up(server, path, monkeypatch):
    url = server.serve("/file.bin", content(DATA))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(DownloadError, match=r"\(No space left on device\). Make room .* COURSEKIT_CACHE"):
            fetch(url, path, sha256=SHA)
        with pytest.raises(DownloadError, match="No space left on device"):
            unpack([make_zip(path.with_name("a.zip"))], path.with_name("files"))
    assert not path.exists()
    assert not [name for name in os.listdir(path.parent) if "files" in name and not name.endswith(".lock")]
    fetch(url, path, sha256=SHA)
    assert path.read_bytes() == DATA


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "a folder").write_text("a file in its place")
    with pytest.raises(DownloadError, match=r"could not be stored in .*COURSEKIT_CACHE"):
        fetch(server.serve("/file.bin", content(DATA)), tmp_path / "a folder" / "file.bin", sha256=SHA)
    assert server.requests == []


# --- Two at once


def test_threads_transfer_it_once(server, path):
    url = server.serve("/file.bin", content(DATA))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: fetch(url, path, sha256=SHA).read_bytes(), range(8)))
    assert results == [DATA] * 8
    assert len(server.requests) == 1


CALL = "import sys; from coursekit.data import downloads; downloads.fetch(sys.argv[1], sys.argv[2], sha256=sys.argv[3])"


def test_a_killed_process_blocks_nobody(server, path):
    hang = content(DATA, cut=HALF, then=lambda server: server.closing.wait())
    url = server.serve("/file.bin", hang, content(DATA))
    command = [sys.executable, "-W", "error", "-c", CALL, url, str(path), SHA]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    root = Path(downloads.__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root) as killed:
        assert killed.stdout.readline().startswith("Downloading")
        killed.kill()
    assert not path.exists()
    fetch(url, path, sha256=SHA)
    assert path.read_bytes() == DATA


# --- Archives


def contents(folder):
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
def test_archives(tmp_path, name, capsys):
    archive = (make_zip if name.endswith("zip") else make_tar)(tmp_path / name)
    (tmp_path / "labels.gz").write_bytes(gzip.compress(b"0123"))
    folder = tmp_path / "new" / "folder"
    unpack([archive, tmp_path / "labels.gz"], folder)
    assert contents(folder) == FILES | {"labels": b"0123"}
    assert capsys.readouterr().out == f"Unpacking {name} to {folder}\nUnpacking labels.gz to {folder}\n"


def test_a_folder_is_whole_or_not_there(tmp_path):
    (tmp_path / ".folder.unpacking" / "left by a killed process").mkdir(parents=True)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"no zip")
    with pytest.raises(Exception, match="not a zip file"):
        unpack([make_zip(tmp_path / "a.zip"), broken], tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert not (tmp_path / ".folder.unpacking").exists()
    unpack([tmp_path / "a.zip"], tmp_path / "folder")
    assert contents(tmp_path / "folder") == FILES
    unpack([tmp_path / "no such archive.zip"], tmp_path / "folder")  # it is there


def test_an_archive_stays_in_its_folder(tmp_path):
    with pytest.raises(Exception, match="outside"):
        unpack([make_tar(tmp_path / "a.tar", {"../evil.txt": b"evil"})], tmp_path / "new" / "folder")
    assert not list(tmp_path.rglob("evil.txt"))
