"""Small archives as files."""

import io
import tarfile
import zipfile

FILES = {"photos/cat/1.jpg": b"a cat", "photos/dog/ein Hund ü.jpg": b"a dog", "read me.txt": b""}


def make_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path, files=FILES):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path
