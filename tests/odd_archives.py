"""Archives as files: good ones, and the pieces of those that want to do harm."""

import io
import stat
import tarfile
import zipfile

FILES = {"photos/cat/1.jpg": b"a cat", "photos/dog/ein Hund ü.jpg": b"a dog", "read me.txt": b""}


def make_zip(path, files=FILES, modes=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            archive.writestr(info, data)
    return path


def make_tar(path, files=FILES, members=()):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in members:
            archive.addfile(info)
    return path


def member(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


OUTSIDE = [
    "../evil.txt",
    "photos/../../evil.txt",
    "{absolute}/evil.txt",
    "..\\evil.txt",
    "C:\\evil.txt",
    "C:evil.txt",
    "\\\\server\\share\\evil.txt",
    "a/..",
]


LINKS = [
    member("link", tarfile.SYMTYPE, "/etc"),
    member("link", tarfile.SYMTYPE, "../.."),
    member("link", tarfile.SYMTYPE, "photos"),
    member("link", tarfile.LNKTYPE, "/etc/hostname"),
    member("link", tarfile.LNKTYPE, "read me.txt"),
    member("null", tarfile.CHRTYPE),
    member("disk", tarfile.BLKTYPE),
    member("pipe", tarfile.FIFOTYPE),
]
