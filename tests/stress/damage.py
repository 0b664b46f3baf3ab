"""What wants to do harm: archives, weights and their cards, and of each a word that its refusal must hold."""

import io
import json
import os
import pickle
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import torch

from tests.odd_archives import FILES, LINKS, OUTSIDE, make_tar, make_zip, member

BOMB = 2**28  # bytes that a small archive unpacks to


class Code:
    """What a pickle would run: it makes a file in the folder where everything happens."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def zip_bomb(path: Path, size: int = BOMB) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as file:
        for _ in range(size >> 24):
            file.write(bytes(1 << 24))
    return path


def overlapping_bomb(path: Path, copies: int = 250) -> Path:
    """Many entries of the list lead to one packed file, as in the archives of Fifield (2019)."""
    zip_bomb(path)
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[start:end]
    length = 46 + len("zeros")
    named = [entry[:46] + f"{i:05}".encode() + entry[length:] for i in range(copies)]
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, copies, copies, sum(map(len, named)), start, 0)
    path.write_bytes(data[:start] + b"".join(named) + tail)
    return path


def lying_zip(path: Path) -> Path:
    """Its list says that 256 MB of zeros are ten bytes."""
    zip_bomb(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<L", 10)
    path.write_bytes(data)
    return path


def gz_bomb(path: Path, size: int = BOMB) -> Path:
    packer = zlib.compressobj(9, wbits=31)
    with path.open("wb") as file:
        for _ in range(size >> 24):
            file.write(packer.compress(bytes(1 << 24)))
        file.write(packer.flush())
    return path


def tar_bomb(path: Path) -> Path:
    """A few thousand bytes that hold a tar, which holds a file of 256 MB of zeros."""
    head = io.BytesIO()
    info = tarfile.TarInfo("zeros")
    info.size = BOMB
    head.write(info.tobuf())
    packer = zlib.compressobj(9, wbits=31)
    with path.open("wb") as file:
        file.write(packer.compress(head.getvalue()))
        for _ in range(BOMB >> 24):
            file.write(packer.compress(bytes(1 << 24)))
        file.write(packer.flush())
    return path


def many_files(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for i in range(3000):
            archive.addfile(tarfile.TarInfo(f"{i}"))
    return path


def sparse_tar(path: Path) -> Path:
    """A file that claims to be 8 GB of holes (GNU sparse format)."""
    info = tarfile.TarInfo("holes")
    info.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % 2**33
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(1024))
    return path


def deep_names(path: Path) -> Path:
    return make_tar(path, {"/".join(["d"] * 3000) + "/x": b"deep"})


def archives(scratch: Path) -> dict[str, tuple[str, Callable[[Path], Path], str]]:
    """Return each kind of archive: its ending, how to make it, and what the refusal must say (a regular expression)."""
    cases: dict[str, tuple[str, Callable[[Path], Path], str]] = {}
    for make, ending in ((make_zip, "zip"), (make_tar, "tar")):
        for name in OUTSIDE:
            name = name.format(absolute=scratch / "outside")
            said = re.escape(f"{name!r} would be written outside of the folder")
            kind = f"{ending} with the name {name}"
            cases[kind] = ending, lambda p, m=make, n=name: m(p, FILES | {n: b"evil"}), said
    for bad in LINKS:
        kind = f"tar with a link or device: {bad.name} of type {bad.type!r} to {bad.linkname!r}"
        cases[kind] = "tgz", lambda p, b=bad: make_tar(p, FILES, [b]), f"'{bad.name}' is a link or a device"
    way = [member("photos/way", tarfile.SYMTYPE, "../.."), member("photos/way/evil.txt", b"0")]
    said = "'photos/way' is a link or a device"
    cases["tar that writes through its own link"] = "tar", lambda p: make_tar(p, FILES, way), said
    for mode in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
        modes = {"link": mode | 0o777}
        kind = f"zip with a link or device of mode {mode:o}"
        cases[kind] = "zip", lambda p, m=modes: make_zip(p, FILES | {"link": b"/etc"}, m), "'link' is a link or a dev"
    large, damaged = r"unpacked it is more than \d+ MB", r"is damaged or not what its name says \("
    return cases | {
        "zip bomb, 256 MB of zeros": ("zip", zip_bomb, large),
        "zip bomb of overlapping files, 62 GB": ("zip", overlapping_bomb, f"({damaged}File name.*differ|Overlapped)"),
        "zip that lies about sizes": ("zip", lying_zip, f"{damaged}Bad CRC-32"),
        "gz bomb, 256 MB of zeros": ("gz", gz_bomb, large),
        "tar bomb, 256 MB of zeros": ("tgz", tar_bomb, large),
        "tar of holes, 8 GB": ("tar", sparse_tar, large),
        "tar of 3,000 files where 2,000 are allowed": ("tar.gz", many_files, "it holds more than 2,000 files"),
        "tar with names 3,000 folders deep": ("tar", deep_names, "the name 'd/d/.* is too long"),
        "zip named tar": ("tar", make_zip, f"{damaged}file could not be opened"),
    }


def header(entries: dict, data: bytes = b"", length: int | None = None) -> bytes:
    """Return the bytes of a safetensors file with this header; ``length`` is what it says of the header's length."""
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list, start: int, end: int, dtype: str = "F16") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


# What safetensors says, before its version 0.6 and since.
SMALL, LARGE, LENGTH = "header ?too ?small", "header ?too ?large", "invalid ?header ?length"
HEADER, COVERED = "JSON in header|InvalidHeader(Start|Deserialization)", "incomplete metadata|MetadataIncompleteBuffer"
OFFSET, FIT, OVERFLOW = "invalid ?offset", "invalid shape|TensorInvalidInfo", "overflow"


def bad_safetensors() -> dict[str, tuple[bytes, str]]:
    """Return each kind of file, and what the refusal must say."""
    good = header({"a": entry([2], 0, 4)}, bytes(4))
    return {
        "empty": (b"", SMALL),
        "seven bytes": (bytes(7), SMALL),
        "a header of 2**63 bytes": (header({}, length=2**63), LARGE),
        "a header of 200 MB, announced": (header({}, length=200 * 2**20), LARGE),
        "a header longer than the file": (header({"a": entry([2], 0, 4)}, bytes(4), length=5000), LENGTH),
        "a header that is no JSON": (struct.pack("<Q", 8) + b"not JSON", HEADER),
        "a header that is a list": (struct.pack("<Q", 2) + b"[]", HEADER),
        "a header nested 100,000 deep": (struct.pack("<Q", 200_000) + b"[" * 100_000 + b"]" * 100_000, HEADER),
        "offsets behind the end": (header({"a": entry([2000], 0, 4000)}, bytes(4)), COVERED),
        "offsets that overlap": (header({"a": entry([2], 0, 4), "b": entry([2], 2, 6)}, bytes(6)), OFFSET),
        "two tensors in one place": (header({"a": entry([2], 0, 4), "b": entry([2], 0, 4)}, bytes(4)), OFFSET),
        "offsets with a hole": (header({"a": entry([2], 0, 4), "b": entry([2], 8, 12)}, bytes(12)), OFFSET),
        "offsets backwards": (header({"a": entry([2], 4, 0)}, bytes(4)), OFFSET),
        "negative offsets": (header({"a": entry([2], -4, 0)}, bytes(4)), HEADER),
        "a shape that does not fit": (header({"a": entry([3], 0, 4)}, bytes(4)), FIT),
        "a shape whose product overflows": (header({"a": entry([2**40, 2**40], 0, 4)}, bytes(4)), OVERFLOW),
        "a negative shape": (header({"a": entry([-2], 0, 4)}, bytes(4)), HEADER),
        "an unknown type": (header({"a": entry([2], 0, 4, "F17")}, bytes(4)), HEADER),
        "truncated": (good[:-1], COVERED),
        "longer than it says": (good + b"x", COVERED),
        "a pickle": (pickle.dumps({"a": 1}), LARGE),
        "a zip": (b"PK\x03\x04" + bytes(100), LENGTH),
    }


def bad_pickles(scratch: Path) -> dict[str, tuple[bytes, str, str]]:
    """Return files that would run code, or fill the memory, if they were unpickled as pickles are.

    With each go what its refusal as a checkpoint must say, which is always a zip, and what that as weights must say.
    """
    code, no_zip = Code(f"touch '{scratch}/ran'"), "File is not a zip file"
    files = {
        "plain pickle": (pickle.dumps(code), no_zip, "a pickle that torch did not write"),
        "pickle in a tar": (oldest_format(code), no_zip, r"legacy \.tar format"),
    }
    asks = "it asks for {}, and may hold tensors and plain values only"
    for kind, content, asked in (
        ("code", code, "(posix|nt).system"),
        ("code deep inside", {"model": {"weight": [torch.ones(2), (code,)]}}, "(posix|nt).system"),
        ("a whole module", torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ("a function", print, r"(\w+\.)?print"),
        ("a class", torch.nn.Sequential, "torch.nn.modules.container.Sequential"),
    ):
        said = asks.format(asked)
        for name, legacy, first in ((kind, False, said), (f"{kind}, old format", True, no_zip)):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
            files[f"torch file with {name}"] = buffer.getvalue(), first, said
    return files | {"torch file that is a bomb": (packed_weights(), *["is packed, as torch.save packs nothing"] * 2)}


def oldest_format(content: object) -> bytes:
    """Return the tar of pickles that torch wrote before 2017; any of them would do the harm."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def packed_weights() -> bytes:
    """Return a torch file with one tensor, whose numbers unpack to 256 MB."""
    whole, bomb = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.zeros(1)}, whole)
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in archive.namelist():
            with packed.open(name, "w") as file:
                for _ in range(BOMB >> 24 if name.endswith("data/0") else 0):
                    file.write(bytes(1 << 24))
                if not name.endswith("data/0"):
                    file.write(archive.read(name))
    return bomb.getvalue()
