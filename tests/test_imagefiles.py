"""One file at a time: sizes, colours, options, and that no bytes whatever can crash the reader."""

import random
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from torchvision.transforms import v2

from coursekit.data.imagefiles import ImageFileError, read_image
from tests import odd_images as odd

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 61, 3), dtype=np.uint8))
PHOTO = NOISE.resize((610, 370), Image.Resampling.BICUBIC)


@pytest.fixture
def write(tmp_path):
    def write(data, name="image.png"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("size", [1, 7, 32, 100])
def test_squash_is_torchvisions_resize(write, size):
    array, notes = read_image(write(odd.saved(NOISE, "PNG")), size)
    expected = v2.Resize((size, size), antialias=True)(NOISE)
    assert array.dtype == np.uint8
    assert notes == ()
    np.testing.assert_array_equal(array, np.asarray(expected))


@pytest.mark.parametrize("size", [8, 32, 100])
@pytest.mark.parametrize("stored", [NOISE, NOISE.transpose(Image.Transpose.ROTATE_90)])
def test_crop_keeps_the_middle(write, size, stored):
    array, _ = read_image(write(odd.saved(stored, "PNG")), size, resize="crop")
    left, top = (12, 0) if stored is NOISE else (0, 12)
    expected = stored.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + 37, top + 37))
    np.testing.assert_array_equal(array, np.asarray(expected))


@pytest.mark.parametrize("size", [16, 50, 64, 200])
def test_jpeg_shrunk_while_decoding_looks_the_same(write, size):
    path = write(odd.saved(PHOTO, "JPEG"), "photo.jpg")
    array, _ = read_image(path, size)
    with Image.open(path) as image:
        expected = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(array - expected).mean() < 1.5


@pytest.mark.parametrize("resize", ["squash", "crop"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_whatever_the_shape(write, orientation, resize):
    upright, _ = read_image(write(odd.saved(NOISE, "PNG")), 16, resize=resize)
    stored = NOISE if odd.STORED[orientation] is None else NOISE.transpose(odd.STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    array, notes = read_image(write(odd.saved(stored, "PNG", exif=exif)), 16, resize=resize)
    assert np.abs(array.astype(int) - upright).max() <= 1
    assert notes == (() if orientation == 1 else ("turned upright",))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientations_that_do_not_exist_are_left_alone(write, value):
    exif = Image.Exif()
    exif[0x0112] = value
    _, notes = read_image(write(odd.saved(odd.COLOUR, "JPEG", exif=exif), "x.jpg"), odd.SIDE)
    assert notes == ()


def test_damaged_exif_does_not_spoil_the_pixels(write):
    data = odd.saved(odd.COLOUR, "JPEG", exif=b"Exif\0\0" + b"\xff" * 40)
    array, _ = read_image(write(data, "x.jpg"), odd.SIDE)
    assert abs(int(array[10, 10, 0]) - 200) < 5


def test_pillows_warnings_are_neither_shown_nor_errors(write):
    # EXIF data that announce two entries and end after the first make Pillow warn, and still say the orientation.
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    stored = odd.COLOUR.transpose(odd.STORED[6])
    path = write(odd.saved(stored, "JPEG", exif=exif), "x.jpg")
    with pytest.warns(UserWarning, match="Corrupt EXIF"), Image.open(path) as image:
        image.getexif()
    array, notes = read_image(path, odd.SIDE)
    assert notes == ("turned upright",)
    assert abs(int(array[10, 10, 0]) - 200) < 5


@pytest.mark.parametrize("image", [odd.COLOUR, odd.GRAY, odd.see_through("RGBA")], ids=["colour", "gray", "alpha"])
def test_one_channel(write, image):
    array, notes = read_image(write(odd.saved(image, "PNG")), odd.SIDE, channels=1)
    expected = np.asarray(odd.GRAY).copy()
    if image.mode == "RGBA":
        expected[odd.SIDE // 2 :, odd.SIDE // 2 :] = 255
    np.testing.assert_array_equal(array, expected)
    assert notes == (("transparent parts to white",) if image.mode == "RGBA" else ())


@pytest.mark.parametrize("top", [1, 255, 256, 4095, 65535])
def test_sixteen_bits_are_scaled_by_their_range(write, top):
    ramp = np.linspace(0, top, 256).round().astype(np.uint16)[None].repeat(256, 0)
    array, notes = read_image(write(odd.saved(Image.fromarray(ramp), "PNG")), 256)
    assert notes == ("16-bit to 8-bit", "gray to RGB")
    assert np.abs(array[0, :, 0] - ramp[0] / 257).max() <= 0.5


@pytest.mark.parametrize(
    ("values", "black", "white"),
    [([-5.0, 0.0, 5.0], 0, 255), ([0.0, 1e6, 2e6], 0, 255), ([0.0, 0.5, 1.0], 0, 255), ([0.0, 50.0, 100.0], 0, 100)],
)
def test_floating_point(write, values, black, white):
    image = Image.fromarray(np.array(values, np.float32)[None].repeat(3, 0))
    array, _ = read_image(write(odd.saved(image, "TIFF"), "x.tif"), 3)
    assert (array[0, 0, 0], array[0, 2, 0]) == (black, white)


def test_one_value_everywhere(write):
    image = Image.fromarray(np.full((3, 3), -7.0, np.float32))
    array, _ = read_image(write(odd.saved(image, "TIFF"), "x.tif"), 3)
    assert (array == 0).all()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"size": 0}, ValueError, "at least 1"),
        ({"size": -3}, ValueError, "at least 1"),
        ({"size": 64.0}, TypeError, "whole number"),
        ({"size": True}, TypeError, "whole number"),
        ({"size": "64"}, TypeError, "whole number"),
        ({"size": (64, 64)}, TypeError, "whole number"),
        ({"resize": "stretch"}, ValueError, "crop"),
        ({"channels": 4}, ValueError, "3"),
    ],
)
def test_wrong_arguments(write, options, error, words):
    with pytest.raises(error, match=words):
        read_image(write(odd.saved(odd.COLOUR, "PNG")), **{"size": 8, **options})


def test_no_file(tmp_path):
    with pytest.raises(ImageFileError, match="not a file"):
        read_image(tmp_path / "absent.png", 8)
    with pytest.raises(ImageFileError, match="a folder"):
        read_image(tmp_path, 8)


def test_a_disk_that_fails(write, monkeypatch):
    path = write(odd.saved(PHOTO, "PNG"))

    def fail(*_):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(ImageFileError, match=r"^damaged: Input/output error$"):
        read_image(path, 8)


@pytest.mark.parametrize("data", [odd.saved(PHOTO, "PNG")[:9000], odd.saved(Image.new("LAB", (9, 9)), "TIFF")])
def test_an_error_does_not_keep_the_image_in_memory(write, data):
    with pytest.raises(ImageFileError) as caught:
        read_image(write(data), 8)
    assert caught.value.__context__ is None
    kept = [value for entry in caught.traceback for value in entry.locals.values()]
    assert not any(isinstance(value, Image.Image) for value in kept)


def test_settings_of_pillow_and_warnings_are_put_back(write, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    half = odd.saved(PHOTO, "JPEG")[:5000]
    filters = list(warnings.filters)
    with pytest.raises(ImageFileError, match="truncated"):
        read_image(write(half, "half.jpg"), 8)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert warnings.filters == filters


def test_a_pixel_limit_switched_off_is_respected(write, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    array, _ = read_image(write(odd.saved(odd.COLOUR, "PNG")), 8)
    assert array.shape == (8, 8, 3)


VALID = {
    "jpg": odd.saved(odd.COLOUR, "JPEG"),
    "png": odd.saved(odd.COLOUR, "PNG"),
    "gif": odd.saved(odd.COLOUR, "GIF", save_all=True, append_images=[odd.GRAY]),
    "bmp": odd.saved(odd.COLOUR, "BMP"),
    "ppm": odd.saved(odd.COLOUR, "PPM"),
    "tif": odd.turned(6, "TIFF"),
    "exif.jpg": odd.turned(6, "JPEG"),
    "cmyk.jpg": odd.saved(odd.COLOUR.convert("CMYK"), "JPEG"),
    "progressive.jpg": odd.saved(odd.COLOUR, "JPEG", progressive=True),
    "palette.png": odd.saved(odd.see_through("P"), "PNG"),
    "gray16.png": odd.png_16_gray(),
    "webp": odd.saved(odd.COLOUR, "WEBP"),
}


def readable(path):
    """Whether it was read; any other error than ImageFileError fails the test."""
    try:
        array, notes = read_image(path, 8)
    except ImageFileError:
        return False
    assert array.shape == (8, 8, 3)
    assert array.dtype == np.uint8
    assert all(isinstance(note, str) for note in notes)
    return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bytes")


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"BM"]),
)
@settings(max_examples=200, deadline=None)
def test_random_bytes(folder, data, beginning):
    path = folder / "random.jpg"
    path.write_bytes(beginning + data)
    readable(path)


@pytest.mark.parametrize("kind", VALID)
def test_every_truncation(folder, kind):
    path = folder / f"cut.{kind}"
    data = VALID[kind]
    lengths = sorted({*range(0, min(len(data), 60)), *range(0, len(data), max(len(data) // 60, 1)), len(data) - 1})
    for length in lengths:
        path.write_bytes(data[:length])
        # A picture of which less than a tenth is there cannot have been read.
        assert not readable(path) or length > len(data) / 10, length
    path.write_bytes(data)
    assert readable(path)


@given(st.sampled_from(sorted(VALID)), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_changed_bytes(folder, kind, seed):
    generator = random.Random(seed)
    data = bytearray(VALID[kind])
    for _ in range(generator.randint(1, 8)):
        data[generator.randrange(len(data))] = generator.randrange(256)
    path = folder / f"changed.{kind}"
    path.write_bytes(bytes(data))
    readable(path)
