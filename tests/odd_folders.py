"""Folders of every awkward kind: which files a folder may hold, and what must become of each."""

import itertools
import os
import random
import struct

import numpy as np
from PIL import Image

from tests import odd_images as odd

COLOURS = odd.SQUARES.reshape(4, 3).astype(int)
GRAYS = np.asarray(Image.fromarray(odd.SQUARES).convert("L")).reshape(4, 1).repeat(3, 1).astype(int)
GOOD = odd.saved(odd.COLOUR, "PNG")
FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (odd.SIDE, odd.SIDE))]}


# EXIF data that announce two entries and end after the first: Pillow warns, and still knows the orientation.
CUT_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
SIXTEEN_WHITE = Image.fromarray(np.full((9, 9), 65535, np.uint16))


def on_white(colours):
    return np.vstack([colours[:3], [[255, 255, 255]]])


def fill(root, classes=("cats", "dogs"), number=4):
    for name, i in itertools.product(classes, range(number)):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / f"good{i}.png").write_bytes(GOOD)
    return root


LOSSY, EXACT = 14, 1
CONVERTED = {
    # name: (the bytes, what the report says of it, the four colours, tolerance)
    "plain.jpg": (odd.saved(odd.COLOUR, "JPEG"), None, COLOURS, LOSSY),
    "UPPER.JPG": (odd.saved(odd.COLOUR, "JPEG", progressive=True), None, COLOURS, LOSSY),
    "plain.bmp": (odd.saved(odd.COLOUR, "BMP"), None, COLOURS, EXACT),
    "plain.webp": (odd.saved(odd.COLOUR, "WEBP", lossless=True), None, COLOURS, EXACT),
    "lzw.tif": (odd.saved(odd.COLOUR, "TIFF", compression="tiff_lzw"), None, COLOURS, EXACT),
    "-rf кот 猫 🐈.png": (GOOD, None, COLOURS, EXACT),
    "gray.png": (odd.saved(odd.GRAY, "PNG"), "gray to RGB", GRAYS, EXACT),
    "gray.jpg": (odd.saved(odd.GRAY, "JPEG"), "gray to RGB", GRAYS, LOSSY),
    "gray alpha.png": (odd.saved(odd.see_through("LA"), "PNG"), "transparent", on_white(GRAYS), EXACT),
    "bits.png": (
        odd.saved(odd.GRAY.point(lambda v: 255 * (v > 100)).convert("1"), "PNG"),
        "gray",
        (GRAYS > 100) * 255,
        EXACT,
    ),
    "palette.png": (odd.saved(odd.COLOUR.quantize(8), "PNG"), "palette to RGB", COLOURS, EXACT),
    "palette.gif": (odd.saved(odd.COLOUR, "GIF"), "palette to RGB", COLOURS, EXACT),
    "palette alpha.png": (odd.saved(odd.see_through("P"), "PNG"), "transparent", on_white(COLOURS), EXACT),
    "alpha.png": (odd.saved(odd.see_through("RGBA"), "PNG"), "transparent parts to white", on_white(COLOURS), EXACT),
    "key.png": (odd.saved(odd.COLOUR, "PNG", transparency=(250, 250, 250)), "transparent", on_white(COLOURS), EXACT),
    "cmyk.jpg": (odd.saved(odd.COLOUR.convert("CMYK"), "JPEG"), "CMYK to RGB", COLOURS, LOSSY),
    "cmyk.tif": (odd.saved(odd.COLOUR.convert("CMYK"), "TIFF"), "CMYK to RGB", COLOURS, EXACT),
    "16.png": (odd.png_16_gray(), "16-bit to 8-bit", GRAYS, EXACT),
    "16 white.png": (odd.saved(SIXTEEN_WHITE, "PNG"), "16-bit", [[255, 255, 255]] * 4, 0),
    "16 colour.png": (odd.png_16_rgb(), "16-bit to 8-bit", COLOURS, EXACT),
    "16.tif": (odd.saved(Image.fromarray(odd.gray_16()), "TIFF"), "16-bit to 8-bit", GRAYS, EXACT),
    "16 big end.tif": (odd.saved(Image.fromarray(odd.gray_16().astype(">u2")), "TIFF"), "16-bit", GRAYS, EXACT),
    "16.pgm": (odd.saved(Image.fromarray(odd.gray_16().astype(np.int32)), "PPM"), "16-bit", GRAYS, EXACT),
    **{f"turned{i}.jpeg": (odd.turned(i, "JPEG"), "turned upright", COLOURS, LOSSY) for i in range(2, 9)},
    **{f"turned.{kind.lower()}": (odd.turned(6, kind), "turned upright", COLOURS, LOSSY) for kind in ("PNG", "TIFF")},
    "damaged exif.jpg": (odd.saved(odd.COLOUR, "JPEG", exif=b"Exif\0\0" + b"\xff" * 40), None, COLOURS, LOSSY),
    "cut exif.jpg": (
        odd.saved(odd.COLOUR.transpose(odd.STORED[6]), "JPEG", exif=CUT_EXIF),
        "turned upright",
        COLOURS,
        LOSSY,
    ),
    "animated.gif": (odd.saved(odd.COLOUR, "GIF", **FRAMES), "first of several frames", COLOURS, EXACT),
    "pages.tif": (odd.saved(odd.COLOUR, "TIFF", **FRAMES), "first of several frames", COLOURS, EXACT),
    "phone.jpg": (odd.saved(odd.COLOUR, "MPO", quality=95, **FRAMES), "first of several frames", COLOURS, 30),
    "png.jpg": (GOOD, "PNG named '.jpg'", COLOURS, EXACT),
    "jpeg.png": (odd.saved(odd.COLOUR, "JPEG"), "JPEG named '.png'", COLOURS, LOSSY),
    "photo.txt": (GOOD, "PNG named '.txt'", COLOURS, EXACT),
    "no_ending": (GOOD, "PNG named ''", COLOURS, EXACT),
    "thread.png": (odd.saved(Image.new("RGB", (1, 900), "blue"), "PNG"), None, [[0, 0, 255]] * 4, EXACT),
}


REFUSED = {
    # name: (the bytes, what the report says of it)
    "empty.jpg": (b"", "empty: 0 bytes"),
    "zeros.jpg": (bytes(5000), "not an image"),
    "noise": (random.Random(1).randbytes(5000), "not an image"),
    "text.jpg": ("Hällo, I am a cat.\n".encode(), "not an image"),
    "page.jpg": (b"\r\n<!DOCTYPE html><html><title>Log in</title></html>", "web page"),
    "page2.png": (b"<HTML><body>404</body></HTML>", "web page"),
    "program.jpg": (odd.saved(odd.COLOUR, "EPS"), "not an image"),
    "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300), "HEIC"),
    "half.jpg": (odd.saved(odd.COLOUR, "JPEG")[:600], "truncated"),
    "last bytes.jpg": (odd.saved(odd.COLOUR, "JPEG")[:-2], "truncated"),
    "half.png": (GOOD[: len(GOOD) // 2], "truncated"),
    "half.gif": (odd.saved(odd.COLOUR, "GIF")[:108], "truncated"),
    "half.tif": (odd.saved(odd.COLOUR, "TIFF")[:2000], "truncated"),
    "half.webp": (odd.saved(odd.COLOUR, "WEBP")[:100], "unreadable"),
    "beginning.jpg": (odd.saved(odd.COLOUR, "JPEG")[:20], "damaged at its beginning"),
    "spoilt.png": (odd.spoilt(odd.saved(Image.effect_noise((64, 64), 50), "PNG")), "unreadable"),
    "bomb.png": (odd.png(100_000, 100_000, 8, 2, b""), "decompression bomb"),
    "float.tif": (odd.saved(Image.fromarray(np.full((9, 9), 0.5, np.float32)), "TIFF"), "more than 16 bits"),
    "32.tif": (odd.saved(Image.fromarray(odd.gray_16().astype(np.int32) * 1000), "TIFF"), "more than 16 bits"),
}


IGNORED = {
    "cats/.DS_Store": b"x",
    "cats/._good1.png": GOOD,
    "cats/Thumbs.db": b"x",
    "dogs/desktop.ini": b"x",
    "__MACOSX/cats/._good1.png": b"x",
    ".git/config": b"x",
    "README.md": b"x",
    "pets.zip": b"PK\x03\x04",
    "cats/notes.txt": b"these are cats",
    "cats/good1.xml": b"<?xml version='1.0'?>",
    "cats/nothing.csv": b"",
}


def make(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(GOOD)


PLACES = {
    # what is done to the folder, the name that is refused, the reason
    "image in the root": (lambda root: make(root / "lost.png"), "lost.png", "wrong place"),
    "deeper": (lambda root: make(root / "cats/young/kitten.png"), "cats/young/", "wrong place"),
    "folder named as image": (lambda root: (root / "cats/x.jpg").mkdir(), "cats/x.jpg/", "wrong place"),
    "broken link": (lambda root: (root / "cats/x.png").symlink_to("absent.png"), "cats/x.png", "broken link"),
    "pipe": (lambda root: os.mkfifo(root / "cats/x.png"), "cats/x.png", "not a file"),
}


LAYOUTS = {
    "nothing": ([], "has no folders in it, but nothing"),
    "only images": (["a.png", "b.png"], "but a.png, b.png.*give the folder above.*cats/1.jpg"),
    "only an archive": (["train.zip"], "but train.zip. Unpack an archive first"),
    "one class": (["cats/a.png"], "one class only.*cats"),
    "train and test": (
        ["train/cats/a.png", "train/dogs/a.png", "test/cats/a.png", "test/dogs/a.png"],
        "Read set/test or set/train",
    ),
    "one folder too high": (["set/cats/a.png", "set/dogs/a.png"], "Read set/set instead"),
    "empty class": (["cats/a.png", "dogs/", "fish/"], "no image in dogs, fish"),
    "class of hidden files": (["cats/a.png", "dogs/.DS_Store"], r"(?s)no image in dogs.*dogs/\.DS_Store"),
    "class of deeper files": (["cats/a.png", "dogs/big/a.png"], "(?s)no image in dogs.*wrong place: dogs/big/"),
    "class of texts": (["cats/a.png", "dogs/a.txt"], "(?s)no image in dogs.*not an image: dogs/a.txt"),
    "class of damaged files": (["cats/a.png", "cats/b.png", "dogs/a.jpg"], "(?s)no image in dogs.*dogs/a.jpg"),
    "all empty": (["cats/", "dogs/"], "no image in cats, dogs"),
}


def lay(root, names):
    root.mkdir()
    for name in names:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(GOOD if name.endswith(".png") else b"text")
    return root
