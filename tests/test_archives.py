"""`unpack` on good archives, and on ones that want to do harm."""

import errno
import gzip
import os
import stat
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from coursekit.data import archives
from coursekit.data.archives import unpack
from coursekit.data.downloads import DownloadError
from tests.odd_archives import FILES, LINKS, OUTSIDE, make_tar, make_zip, member


def contents(folder):
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def refused(archive, tmp_path, **limits):
    """Return the message of the refusal, once it is sure that nothing was left or written elsewhere."""
    before = set(tmp_path.rglob("*"))
    with pytest.raises(DownloadError) as caught:
        unpack(archive, tmp_path / "made" / "folder", **limits)
    left = set(tmp_path.rglob("*")) - before - {tmp_path / "made", tmp_path / "made" / ".folder.lock"}
    assert left == set()
    return str(caught.value)


@pytest.mark.parametrize("name", ["a.zip", "a.ZIP", "a.tar", "a.tar.gz", "a.tgz"])
def test_good_archives(tmp_path, name, capsys):
    archive = (make_zip if name.lower().endswith("zip") else make_tar)(tmp_path / name)
    folder = tmp_path / "new" / "folder"
    assert unpack(archive, str(folder)) == folder
    assert contents(folder) == FILES
    assert capsys.readouterr().out == f"Unpacking {name} to {folder}\n"


def test_a_packed_file(tmp_path):
    (tmp_path / "labels.gz").write_bytes(gzip.compress(b"0123"))
    unpack(tmp_path / "labels.gz", tmp_path / "folder", progress=False)
    assert contents(tmp_path / "folder") == {"labels": b"0123"}


def test_several_archives_appear_at_once(tmp_path):
    first, second = make_zip(tmp_path / "a.zip"), make_tar(tmp_path / "b.tar", {"photos/more.txt": b"more"})
    unpack([first, second], tmp_path / "folder")
    assert contents(tmp_path / "folder") == FILES | {"photos/more.txt": b"more"}
    make_zip(tmp_path / "broken.zip").write_bytes(b"no zip")
    with pytest.raises(DownloadError):
        unpack([first, tmp_path / "broken.zip"], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_folders_backslashes_and_a_leading_dot(tmp_path):
    unpack(make_zip(tmp_path / "a.zip", {"empty/": b"", "a\\b.txt": b"b"}), tmp_path / "z")
    assert contents(tmp_path / "z") == {"a/b.txt": b"b"}
    assert (tmp_path / "z" / "empty").is_dir()
    archive = make_tar(tmp_path / "a.tar", {"./a.txt": b"a"}, [member("./", tarfile.DIRTYPE)])
    unpack(archive, tmp_path / "t")
    assert contents(tmp_path / "t") == {"a.txt": b"a"}


def test_an_existing_folder_is_left_alone(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    unpack(tmp_path / "no such archive.zip", tmp_path / "folder")
    assert contents(tmp_path / "folder") == {"mine.txt": b"mine"}
    assert not (tmp_path / ".folder.lock").exists()  # the place may be read-only
    assert capsys.readouterr().out == ""


def test_no_permissions_are_taken_over(tmp_path):
    info = tarfile.TarInfo("setuid")
    info.mode, info.uid = 0o6777, 12345
    unpack(make_tar(tmp_path / "a.tar", {}, [info]), tmp_path / "folder")
    found = (tmp_path / "folder" / "setuid").stat()
    assert found.st_uid == os.getuid()
    assert not found.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR)


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_lead_out(tmp_path, name, make):
    name = name.format(absolute=tmp_path)
    archive = make(tmp_path / ("a.zip" if make is make_zip else "a.tar"), FILES | {name: b"evil"})
    assert f"{archive} is refused: {name!r} would be written outside of the folder" in refused(archive, tmp_path)


@pytest.mark.parametrize("bad", LINKS)
def test_links_and_devices_in_tar(tmp_path, bad):
    assert f"'{bad.name}' is a link or a device" in refused(make_tar(tmp_path / "a.tgz", FILES, [bad]), tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_zip(tmp_path, kind):
    archive = make_zip(tmp_path / "a.zip", FILES | {"link": b"/etc"}, {"link": kind | 0o777})
    assert "'link' is a link or a device" in refused(archive, tmp_path)


ZEROS = {"a": bytes(600_000), "b": bytes(600_000)}


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.gz"])
def test_too_large(tmp_path, name):
    archive = tmp_path / name
    if name == "a.gz":
        archive.write_bytes(gzip.compress(bytes(1_200_000)))
    else:
        (make_zip if name.endswith("zip") else make_tar)(archive, ZEROS)
    assert "unpacked it is more than 1 MB" in refused(archive, tmp_path, max_bytes=1_000_000)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.gz"])
def test_bombs(tmp_path, name, monkeypatch):
    monkeypatch.setattr(archives, "_SMALL", 100_000)
    archive = tmp_path / name
    if name == "a.gz":
        archive.write_bytes(gzip.compress(bytes(1_200_000)))
    else:
        (make_zip if name.endswith("zip") else make_tar)(archive, ZEROS)
    assert archive.stat().st_size < 5_000
    assert "unpacked it is more than" in refused(archive, tmp_path)
    unpack(archive, tmp_path / "allowed", max_ratio=1e6)


def test_too_many_files(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {f"{i}.txt": b"" for i in range(101)})
    assert "more than 100 files" in refused(archive, tmp_path, max_files=100)
    unpack(archive, tmp_path / "allowed", max_files=101)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in ("a.zip", "a.tar", "a.tar.gz", "a.gz")
        for damage in ("empty", "text", "cut")
        if (name, damage) != ("a.gz", "empty")  # which to gzip is an empty file, packed
    ],
)
def test_damaged_archives(tmp_path, name, damage):
    archive = tmp_path / name
    files = {"a": os.urandom(50_000)}
    if name == "a.gz":
        archive.write_bytes(gzip.compress(files["a"]))
    else:
        (make_zip if name.endswith("zip") else make_tar)(archive, files)
    whole = archive.read_bytes()
    archive.write_bytes({"empty": b"", "text": b"Please log in" * 100, "cut": whole[:30_000]}[damage])
    assert "is damaged or not what its name says" in refused(archive, tmp_path)


def test_a_wrong_byte_in_a_zip_is_noticed(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"a": os.urandom(5_000)})
    data = bytearray(archive.read_bytes())
    data[2_000] ^= 1
    archive.write_bytes(data)
    assert "is damaged" in refused(archive, tmp_path)


def test_an_encrypted_zip(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"a": b"secret"})
    data = bytearray(archive.read_bytes())
    data[6] |= 1  # the flag, in the member's own header and in the list at the end
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    assert "is damaged or not what its name says" in refused(archive, tmp_path)


def test_a_name_that_is_file_and_folder(tmp_path):
    archive = make_tar(tmp_path / "a.tar", {"a": b"a", "a/b": b"b"})
    assert f"{archive} is damaged" in refused(archive, tmp_path)


def test_unknown_kinds_and_missing_archives(tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    assert "not known; .zip, .tar" in refused(tmp_path / "a.rar", tmp_path)
    assert "Download it first" in refused(tmp_path / "a.zip", tmp_path)


def test_the_disk_fills_up(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = make_zip(tmp_path / "a.zip")
    monkeypatch.setattr(archives.os, "rename", full)
    assert "is full" in refused(archive, tmp_path)


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    (tmp_path / ".folder.unpacking" / "photos").mkdir(parents=True)
    (tmp_path / ".folder.unpacking" / "half.jpg").write_bytes(b"half")
    unpack(make_zip(tmp_path / "a.zip"), tmp_path / "folder")
    assert contents(tmp_path / "folder") == FILES
    assert not (tmp_path / ".folder.unpacking").exists()


def test_two_at_once(tmp_path, monkeypatch):
    unpacked = []
    original = archives._unpack_one
    together = threading.Barrier(4)
    monkeypatch.setattr(archives, "_unpack_one", lambda *args: unpacked.append(1) or original(*args))
    archive = make_zip(tmp_path / "a.zip")

    def call(_):
        together.wait()
        return contents(unpack(archive, tmp_path / "folder"))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, range(4))) == [FILES] * 4
    assert unpacked == [1]


@pytest.mark.parametrize(
    "limits", [{"max_bytes": -1}, {"max_ratio": float("nan")}, {"max_files": "3"}, {"max_bytes": None}]
)
def test_odd_limits(limits, tmp_path):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(limits))} must be"):
        unpack(make_zip(tmp_path / "a.zip"), tmp_path / "folder", **limits)
    assert not (tmp_path / "folder").exists()
