"""Folders of every awkward kind: which files a folder may hold, and what must become of each."""

import itertools
import os
import random

import numpy as np
from PIL import Image

from tests import odd_images as odd

COLOURS = odd.SQUARES.reshape(4, 3).astype(int)
GRAYS = np.asarray(Image.fromarray(odd.SQUARES).convert("L")).reshape(4, 1).repeat(3, 1).astype(int)
GOOD = odd.saved(odd.COLOUR, "PNG")
FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (odd.SIDE, odd.SIDE))]}


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
    "progressive.jpg": (odd.saved(odd.COLOUR, "JPEG", progressive=True), None, COLOURS, LOSSY),
    "UPPER.JPG": (odd.saved(odd.COLOUR, "JPEG"), None, COLOURS, LOSSY),
    "plain.bmp": (odd.saved(odd.COLOUR, "BMP"), None, COLOURS, EXACT),
    "plain.webp": (odd.saved(odd.COLOUR, "WEBP", lossless=True), None, COLOURS, EXACT),
    "plain.ppm": (odd.saved(odd.COLOUR, "PPM"), None, COLOURS, EXACT),
    "plain.tiff": (odd.saved(odd.COLOUR, "TIFF"), None, COLOURS, EXACT),
    "lzw.tif": (odd.saved(odd.COLOUR, "TIFF", compression="tiff_lzw"), None, COLOURS, EXACT),
    "solid.png": (odd.saved(odd.COLOUR.convert("RGBA"), "PNG"), None, COLOURS, EXACT),
    "with space.png": (GOOD, None, COLOURS, EXACT),
    "-rf.png": (GOOD, None, COLOURS, EXACT),
    "кот 猫 قطة 🐈.png": (GOOD, None, COLOURS, EXACT),
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
    "palette alpha.gif": (odd.saved(odd.see_through("RGBA"), "GIF"), "transparent", on_white(COLOURS), EXACT),
    "alpha.png": (odd.saved(odd.see_through("RGBA"), "PNG"), "transparent parts to white", on_white(COLOURS), EXACT),
    "alpha.webp": (odd.saved(odd.see_through("RGBA"), "WEBP"), "transparent", on_white(COLOURS), LOSSY),
    "key.png": (odd.saved(odd.COLOUR, "PNG", transparency=(250, 250, 250)), "transparent", on_white(COLOURS), EXACT),
    "gray key.png": (odd.saved(odd.GRAY, "PNG", transparency=250), "transparent", on_white(GRAYS), EXACT),
    "cmyk.jpg": (odd.saved(odd.COLOUR.convert("CMYK"), "JPEG"), "CMYK to RGB", COLOURS, LOSSY),
    "cmyk.tif": (odd.saved(odd.COLOUR.convert("CMYK"), "TIFF"), "CMYK to RGB", COLOURS, EXACT),
    "16.png": (odd.png_16_gray(), "16-bit to 8-bit", GRAYS, EXACT),
    "16 key.png": (odd.png_16_gray(odd.chunk(b"tRNS", b"\xfa\xfa")), "transparent", on_white(GRAYS), EXACT),
    "16 colour.png": (odd.png_16_rgb(), "16-bit to 8-bit", COLOURS, EXACT),
    "16.tif": (odd.saved(Image.fromarray(odd.gray_16()), "TIFF"), "16-bit to 8-bit", GRAYS, EXACT),
    "16 big end.tif": (odd.saved(Image.fromarray(odd.gray_16().astype(">u2")), "TIFF"), "16-bit", GRAYS, EXACT),
    "16.pgm": (odd.saved(Image.fromarray(odd.gray_16().astype(np.int32)), "PPM"), "16-bit to 8-bit", GRAYS, EXACT),
    "float.tif": (
        odd.saved(Image.fromarray((odd.gray_16() / 65535).astype(np.float32)), "TIFF"),
        "floating point",
        GRAYS,
        EXACT,
    ),
    "32.tif": (
        odd.saved(Image.fromarray(odd.gray_16().astype(np.int32) * 1000), "TIFF"),
        "stretched",
        (GRAYS - GRAYS.min()) * 255 / (GRAYS.max() - GRAYS.min()),
        EXACT,
    ),
    **{
        f"turned{i}.{kind.lower()}": (odd.turned(i, kind), "turned upright", COLOURS, LOSSY)
        for kind in ("JPEG", "PNG", "TIFF", "WEBP")
        for i in range(2, 9)
    },
    "animated.gif": (odd.saved(odd.COLOUR, "GIF", **FRAMES), "first of several frames", COLOURS, EXACT),
    "animated.png": (odd.saved(odd.COLOUR, "PNG", **FRAMES), "first of several frames", COLOURS, EXACT),
    "animated.webp": (odd.saved(odd.COLOUR, "WEBP", **FRAMES), "first of several frames", COLOURS, LOSSY),
    "pages.tif": (odd.saved(odd.COLOUR, "TIFF", **FRAMES), "first of several frames", COLOURS, EXACT),
    "phone.jpg": (odd.saved(odd.COLOUR, "MPO", quality=95, **FRAMES), "first of several frames", COLOURS, 30),
    "png.jpg": (GOOD, "PNG named .jpg", COLOURS, EXACT),
    "jpeg.png": (odd.saved(odd.COLOUR, "JPEG"), "JPEG named .png", COLOURS, LOSSY),
    "webp.jpeg": (odd.saved(odd.COLOUR, "WEBP", lossless=True), "WEBP named .jpeg", COLOURS, EXACT),
    "photo.txt": (GOOD, "PNG named .txt", COLOURS, EXACT),
    "photo.jpg.part": (GOOD, "PNG named .part", COLOURS, EXACT),
    "no_ending": (GOOD, "PNG without an ending", COLOURS, EXACT),
    "one pixel.png": (odd.saved(Image.new("RGB", (1, 1), "blue"), "PNG"), None, [[0, 0, 255]] * 4, EXACT),
    "thread.png": (odd.saved(Image.new("RGB", (1, 900), "blue"), "PNG"), None, [[0, 0, 255]] * 4, EXACT),
}


def heic():
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300)


REFUSED = {
    # name: (the bytes, what the report says of it)
    "empty.jpg": (b"", "empty: 0 bytes"),
    "empty": (b"", "empty: 0 bytes"),
    "zeros.jpg": (bytes(5000), "only zero bytes"),
    "noise.jpg": (random.Random(0).randbytes(5000), "not an image: unknown content"),
    "noise": (random.Random(1).randbytes(5000), "not an image: unknown content"),
    "text.jpg": ("Hällo, I am a cat.\n".encode(), "not an image: text"),
    "page.jpg": (b"\r\n<!DOCTYPE html><html><title>Log in</title></html>", "web page"),
    "page2.png": (b"<HTML><body>404</body></HTML>", "web page"),
    "drawing.svg": (b"<svg width='9' height='9'></svg>", "SVG"),
    "feed.gif": (b"\xef\xbb\xbf<?xml version='1.0'?><rss/>", "XML"),
    "answer.jpg": (b'{"error": "rate limit"}', "not an image: text"),
    "paper.png": (b"%PDF-1.7 " + bytes(99), "PDF"),
    "archive.jpg": (b"PK\x03\x04" + bytes(99), "ZIP"),
    "pointer.jpg": (b"version https://git-lfs/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    "program.jpg": (odd.saved(odd.COLOUR, "EPS"), "not an image"),
    "phone.heic": (heic(), "HEIC"),
    "phone.jpg": (heic(), "HEIC"),
    "film.jpg": (b"\0\0\0\x18ftypisom" + bytes(99), "video"),
    "half.jpg": (odd.saved(odd.COLOUR, "JPEG")[:600], "truncated"),
    "last bytes.jpg": (odd.saved(odd.COLOUR, "JPEG")[:-2], "truncated"),
    "half.png": (GOOD[: len(GOOD) // 2], "truncated"),
    "half.gif": (odd.saved(odd.COLOUR, "GIF")[:108], "truncated"),
    "half.bmp": (odd.saved(odd.COLOUR, "BMP")[:2000], "truncated"),
    "half.tif": (odd.saved(odd.COLOUR, "TIFF")[:2000], "truncated"),
    "half.webp": (odd.saved(odd.COLOUR, "WEBP")[:100], "damaged"),
    "beginning.jpg": (odd.saved(odd.COLOUR, "JPEG")[:20], "begins as a JPEG"),
    "beginning.png": (GOOD[:12], "damaged"),
    "beginning.tif": (b"II*\0" + bytes(9), "begins as a TIFF"),
    "spoilt.png": (odd.spoilt(odd.saved(Image.effect_noise((64, 64), 50), "PNG")), "damaged"),
    "spoilt.jpg": (odd.spoilt(odd.saved(odd.COLOUR, "JPEG"), 0.02, 300), ""),
    "bomb.png": (odd.png(100_000, 100_000, 8, 2, b""), "too many pixels"),
    "large.png": (odd.png(10_000, 9_000, 8, 2, b""), "too many pixels"),
    "no pixels.png": (odd.png(0, 0, 8, 2, b""), ""),
    "lab.tif": (odd.saved(Image.new("LAB", (9, 9)), "TIFF"), "CIELAB"),
    "nan.tif": (odd.saved(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"), "NaN"),
}


IGNORED = {
    "cats/.DS_Store": b"x",
    "cats/._good1.png": GOOD,
    "cats/Thumbs.db": b"x",
    "dogs/desktop.ini": b"x",
    ".DS_Store": b"x",
    "__MACOSX/cats/._good1.png": b"x",
    ".git/config": b"x",
    "README.md": b"x",
    "labels.csv": b"x",
    "pets.zip": b"PK\x03\x04",
    "cats/notes.txt": b"these are cats",
    "cats/good1.xml": b"<?xml version='1.0'?>",
    "cats/boxes.json": b"{}",
    "cats/nothing.csv": b"",
}


def make(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(GOOD)


def link(path, to):
    path.symlink_to(to)


PLACES = {
    # what is done to the folder, the name that is refused, the reason
    "image in the root": (lambda root: make(root / "lost.png"), "lost.png", "wrong place"),
    "deeper": (lambda root: make(root / "cats/young/kitten.png"), "cats/young/kitten.png", "wrong place"),
    "much deeper": (lambda root: make(root / "cats/a/b/c.png"), "cats/a/b/c.png", "wrong place"),
    "folder named as image": (lambda root: (root / "cats/x.jpg").mkdir(), "cats/x.jpg/", "empty folder"),
    "image in a folder named as image": (
        lambda root: make(root / "cats/x.jpg/y.png"),
        "cats/x.jpg/y.png",
        "wrong place",
    ),
    "broken link": (lambda root: link(root / "cats/x.png", "absent.png"), "cats/x.png", "broken link"),
    "link to itself": (lambda root: link(root / "cats/x.png", "x.png"), "cats/x.png", "broken link"),
    "broken link as class": (lambda root: link(root / "fish", "absent"), "fish", "leads nowhere"),
    "looping link as class": (lambda root: link(root / "fish", "fish"), "fish", "leads nowhere"),
    "class that leads back": (lambda root: link(root / "fish", ".."), "fish", "leads back"),
    "class that is the root": (lambda root: link(root / "fish", "."), "fish", "leads back"),
    "linked folder in a class": (lambda root: link(root / "cats/more", "../dogs"), "cats/more/", "not followed"),
    "linked loop in a class": (lambda root: link(root / "cats/more", "."), "cats/more/", "not followed"),
    "pipe": (lambda root: os.mkfifo(root / "cats/x.png"), "cats/x.png", "a pipe"),
    "device": (lambda root: link(root / "cats/x.png", "/dev/zero"), "cats/x.png", "a device"),
}


LAYOUTS = {
    "nothing": ([], "has no class folders, and no images"),
    "only hidden": ([".DS_Store"], "has no class folders, and no images"),
    "only images": (["a.png", "b.png"], "but 2 images directly in it.*give the folder above.*cats/1.jpg"),
    "only an archive": (["train.zip"], "Unpack train.zip first"),
    "one class": (["cats/a.png"], "one class only.*cats"),
    "train and test": (
        ["train/cats/a.png", "train/dogs/a.png", "test/cats/a.png", "test/dogs/a.png"],
        "Read set/test or set/train",
    ),
    "one folder too high": (["set/cats/a.png", "set/dogs/a.png"], "one folder deeper.*Read set/set instead"),
    "empty class": (["cats/a.png", "dogs/", "fish/"], "no image in the classes dogs, fish.*allow_empty"),
    "class of hidden files": (["cats/a.png", "dogs/.DS_Store"], r"dogs \(dogs/\.DS_Store: hidden"),
    "class of deeper files": (["cats/a.png", "dogs/big/a.png"], r"dogs \(dogs/big/a\.png: wrong place"),
    "class of texts": (["cats/a.png", "dogs/a.txt"], r"dogs \(dogs/a\.txt: not an image: text"),
    "class of damaged files": (["cats/a.png", "cats/b.png", "dogs/a.jpg"], r"dogs \(dogs/a\.jpg: not an image: text"),
    "empty folders deeper": (["cats/a.png", "dogs/big/"], r"dogs \(dogs/big/: not a file: an empty folder"),
    "nothing but empty folders": (["cats/small/", "dogs/big/"], "no image in the classes cats .*, dogs "),
    "all empty": (["cats/", "dogs/"], "no image in the classes cats, dogs"),
}


def lay(root, names):
    root.mkdir()
    for name in names:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(GOOD if name.endswith(".png") else b"text")
    return root
