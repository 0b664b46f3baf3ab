"""Archives and weights that want to do harm: refused with the reason, and nothing is written outside.

python tests/hardtimes/hostile.py
"""

import contextlib
import hashlib
import io
import json
import os
import pickle
import resource
import stat
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.utils.data import TensorDataset

from coursekit import transfer
from coursekit.data.archives import unpack
from coursekit.data.downloads import DownloadError
from coursekit.pretrained import WeightsError, loading, store
from coursekit.training import CheckpointError, checkpoints
from tests.hardtimes import common
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
    """Its list says that 300 MB of zeros are ten bytes."""
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
    """A file that claims to be 1 TB of holes (GNU sparse format)."""
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


def archives(scratch: Path) -> dict[str, object]:
    """Return each kind of archive and how to make it."""
    cases: dict[str, object] = {}
    for make, ending in ((make_zip, "zip"), (make_tar, "tar")):
        for name in OUTSIDE:
            name = name.format(absolute=scratch / "outside")
            cases[f"{ending} with the name {name}"] = ending, lambda p, m=make, n=name: m(p, FILES | {n: b"evil"})
    for bad in LINKS:
        kind = f"tar with a link or device: {bad.name} of type {bad.type!r} to {bad.linkname!r}"
        cases[kind] = "tgz", lambda p, b=bad: make_tar(p, FILES, [b])
    through = member("photos/way", tarfile.SYMTYPE, "../..")
    cases["tar that writes through its own link"] = "tar", lambda p: make_tar(p, FILES, [through, member("w", b"0")])
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
        modes = {"link": kind | 0o777}
        cases[f"zip with a link or device of mode {kind:o}"] = (
            "zip",
            lambda p, m=modes: make_zip(p, FILES | {"link": b"/etc"}, m),
        )
    cases |= {
        "zip bomb, 256 MB of zeros": ("zip", zip_bomb),
        "zip bomb of overlapping files, 62 GB": ("zip", overlapping_bomb),
        "zip that lies about sizes": ("zip", lying_zip),
        "gz bomb, 256 MB of zeros": ("gz", gz_bomb),
        "tar bomb, 256 MB of zeros": ("tgz", tar_bomb),
        "tar of holes, 8 GB": ("tar", sparse_tar),
        "tar of 3,000 files where 2,000 are allowed": ("tar.gz", many_files),
        "tar with names 3,000 folders deep": ("tar", deep_names),
        "zip named tar": ("tar", lambda p: make_zip(p)),
    }
    return cases


def refuse_archives(scratch: Path) -> tuple[int, list[str]]:
    count, wrong = 0, []
    for number, (kind, (ending, make)) in enumerate(archives(scratch).items()):
        home = scratch / "archives" / str(number) / "deep"
        home.mkdir(parents=True)
        archive = home / f"bad.{ending}"
        make(archive)
        before = set(scratch.rglob("*"))
        try:
            unpack(archive, home / "made" / "folder", max_files=2000, progress=False)
            wrong.append(f"{kind}: was unpacked")
        except DownloadError as error:
            if not any(text in str(error) for text in ("is refused: ", "is damaged or not what its name says")):
                wrong.append(f"{kind}: {error}")
        except Exception as error:
            wrong.append(f"{kind}: {type(error).__name__}: {error}")
        left = set(scratch.rglob("*")) - before - {home / "made", home / "made" / ".folder.lock"}
        wrong += [f"{kind}: wrote {path}" for path in left]
        count += 1
        archive.unlink()
    return count, wrong


def header(entries: dict, data: bytes = b"", length: int | None = None) -> bytes:
    """Return the bytes of a safetensors file with this header; ``length`` is what it says of the header's length."""
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list, start: int, end: int, dtype: str = "F16") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def bad_safetensors() -> dict[str, bytes]:
    good = header({"a": entry([2], 0, 4)}, bytes(4))
    return {
        "empty": b"",
        "seven bytes": bytes(7),
        "a header of 2**63 bytes": header({}, length=2**63),
        "a header of 200 MB, announced": header({}, length=200 * 2**20),
        "a header longer than the file": header({"a": entry([2], 0, 4)}, bytes(4), length=5000),
        "a header that is no JSON": struct.pack("<Q", 8) + b"not JSON",
        "a header that is a list": struct.pack("<Q", 2) + b"[]",
        "a header nested 100,000 deep": struct.pack("<Q", 200_000) + b"[" * 100_000 + b"]" * 100_000,
        "offsets behind the end": header({"a": entry([2000], 0, 4000)}, bytes(4)),
        "offsets that overlap": header({"a": entry([2], 0, 4), "b": entry([2], 2, 6)}, bytes(6)),
        "two tensors in one place": header({"a": entry([2], 0, 4), "b": entry([2], 0, 4)}, bytes(4)),
        "offsets with a hole": header({"a": entry([2], 0, 4), "b": entry([2], 8, 12)}, bytes(12)),
        "offsets backwards": header({"a": entry([2], 4, 0)}, bytes(4)),
        "negative offsets": header({"a": entry([2], -4, 0)}, bytes(4)),
        "a shape that does not fit": header({"a": entry([3], 0, 4)}, bytes(4)),
        "a shape whose product overflows": header({"a": entry([2**40, 2**40], 0, 4)}, bytes(4)),
        "a negative shape": header({"a": entry([-2], 0, 4)}, bytes(4)),
        "an unknown type": header({"a": entry([2], 0, 4, "F17")}, bytes(4)),
        "truncated": good[:-1],
        "longer than it says": good + b"x",
        "a pickle": pickle.dumps({"a": 1}),
        "a zip": b"PK\x03\x04" + bytes(100),
    }


def refuse_safetensors(scratch: Path) -> tuple[int, list[str]]:
    """Store each with a card that fits, so that the checksum does not already give it away; also as cached features."""
    count, wrong = 0, []
    data = TensorDataset(torch.rand(6, 3, 8, 8), torch.arange(6))
    backbone = torch.nn.Flatten()
    right = transfer.features(backbone, data, device="cpu")
    folder = scratch / "weights"
    folder.mkdir()
    for kind, content in bad_safetensors().items():
        (folder / "bad.safetensors").write_bytes(content)
        card = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (folder / store.CARDS).write_text(json.dumps({"bad": card}))
        wrong += refusal(f"safetensors: {kind}", WeightsError, lambda: store.read("bad", folder))
        (folder / "cache.safetensors").write_bytes(content)
        again = transfer.features(backbone, data, cache=folder / "cache.safetensors", device="cpu")
        if not again.reason.startswith("the file was damaged") or not torch.equal(again.tensors[0], right.tensors[0]):
            wrong.append(f"safetensors: {kind}: taken for cached features ({again.reason})")
        count += 2
    return count, wrong


def bad_cards() -> dict[str, str]:
    return {
        "no JSON": "{",
        "a list": "[]",
        "a number": "3",
        "a card that is a text": '{"bad": "text"}',
        "a card without checksum": '{"bad": {"bytes": 1}}',
        "nested 100,000 deep": "[" * 100_000,
    }


def refuse_cards(scratch: Path) -> tuple[int, list[str]]:
    wrong = []
    folder = scratch / "cards"
    folder.mkdir()
    (folder / "bad.safetensors").write_bytes(b"x")
    for kind, text in bad_cards().items():
        (folder / store.CARDS).write_text(text)
        wrong += refusal(f"cards: {kind}", WeightsError, lambda: store.read("bad", folder))
    return len(bad_cards()), wrong


def bad_pickles(scratch: Path) -> dict[str, bytes]:
    """Return files that would run code, or fill the memory, if they were unpickled as pickles are."""
    code = Code(f"touch '{scratch}/ran'")
    files = {"plain pickle": pickle.dumps(code), "pickle in a tar": pickle.dumps(code)}
    for kind, content in {
        "code": code,
        "code deep inside": {"model": {"weight": [torch.ones(2), (code,)]}},
        "a whole module": torch.nn.Linear(2, 2),
        "a function": print,
        "a class of ours": torch.nn.Sequential,
    }.items():
        for legacy in (False, True):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
            files[f"torch file with {kind}{', old format' if legacy else ''}"] = buffer.getvalue()
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:  # the storage, packed
        for name, data in members.items():
            if name.endswith("data/0"):
                with archive.open(name, "w") as file:
                    for _ in range(BOMB >> 24):
                        file.write(bytes(1 << 24))
            else:
                archive.writestr(name, data)
    files["torch file that is a bomb"] = bomb.getvalue()
    return files


def refuse_pickles(scratch: Path) -> tuple[int, list[str]]:
    """Read each as a checkpoint, and as weights from the network whose name's checksum happens to fit."""
    wrong, files = [], bad_pickles(scratch)
    path = scratch / "bad.pth"
    fetch, loading.fetch = loading.fetch, lambda *_, **__: path
    try:
        for kind, content in files.items():
            path.write_bytes(content)
            wrong += refusal(f"checkpoint: {kind}", CheckpointError, lambda: checkpoints.load(path))
            wrong += refusal(f"ImageNet's weights: {kind}", WeightsError, lambda: loading._imagenet("resnet18"))
    finally:
        loading.fetch = fetch
    if (scratch / "ran").exists():
        wrong.append("a pickle ran its code")
    return 2 * len(files), wrong


def refusal(kind: str, expected: type[Exception], act) -> list[str]:
    """Return nothing if ``act`` raises the expected error, else what it did."""
    try:
        act()
    except expected:
        return []
    except Exception as error:
        return [f"{kind}: {type(error).__name__}: {str(error)[:200]}"]
    return [f"{kind}: was accepted"]


def main() -> None:
    results, wrong = {}, []
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        for part, what in (
            (refuse_archives, "hostile archives: names that lead out, links, devices, bombs"),
            (refuse_safetensors, "hostile safetensors: lying headers, overlapping offsets, impossible shapes"),
            (refuse_cards, "hostile cards of weights"),
            (refuse_pickles, "hostile pickles: code, modules, bombs, as checkpoints and as weights"),
        ):
            results[what], troubles = part(Path(name))
            wrong += troubles
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"peak memory: {megabytes} MB")
    outcome = "refused with the reason, nothing run, nothing written outside"
    rows = [(what, number, outcome) for what, number in results.items()]
    common.finish(rows, wrong)


if __name__ == "__main__":
    main()
