import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coursekit import photos
from coursekit.photos import photo
from tests import odd_images as odd


def test_each_photo_is_as_its_package_gives_it_and_as_the_help_says(monkeypatch):
    import skimage.data
    from sklearn.datasets import load_sample_image

    def refuse(*_, **__):
        raise AssertionError("a photo must not need the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in photos._FILES:
        if name in ("china", "flower"):
            expected = load_sample_image(f"{name}.jpg")
        elif name == "motorcycle":
            expected = skimage.data.stereo_motorcycle()[0]
        else:
            expected = getattr(skimage.data, name)()
        image = photo(name)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, expected)
        listed = photo.__doc__.split("Gray:")[image.ndim == 2].split("Parameters")[0]
        assert f"{image.shape[0]}x{image.shape[1]}" in listed.split(f"``{name}``")[1]


def test_gray_follows_bt601():
    weighted = photo("coffee") @ [0.299, 0.587, 0.114]
    gray = photo("coffee", gray=True)
    assert gray.shape == (400, 600)
    assert gray.dtype == np.uint8
    assert np.abs(gray - weighted).max() <= 1
    np.testing.assert_array_equal(photo("camera", gray=True), photo("camera"))


def test_each_call_gives_a_copy():
    photo("moon")[:] = 0
    assert photo("moon").max() > 0


@pytest.mark.parametrize(("name", "hint"), [("chelsee", "Did you mean 'chelsea'?"), ("Astronaut", "'astronaut'")])
def test_unknown_names(name, hint):
    with pytest.raises(ValueError, match=r"there is no photo .*There are: astronaut, brick, .*, text\.") as error:
        photo(name)
    assert hint in str(error.value)


def test_a_photo_that_the_install_lacks(monkeypatch):
    monkeypatch.setitem(photos._FILES, "moon", "skimage/data/no such file.png")
    with pytest.raises(FileNotFoundError, match="pip install"):
        photo("moon")


def test_needs_no_torch_and_no_skimage():
    code = (
        "import sys; from coursekit import photos; photos.photo('camera');"
        "assert not {'torch', 'skimage', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(photos.__file__).parents[1])


def test_a_file_of_ones_own_is_upright_and_not_too_large(tmp_path, monkeypatch):
    pixels = np.zeros((1500, 2000, 3), np.uint8)
    pixels[:750] = (200, 30, 30)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    Image.fromarray(pixels).save(tmp_path / "me.jpg", exif=exif, quality=95)
    monkeypatch.chdir(tmp_path)
    image = photo("me.jpg")
    assert image.shape == (1024, 768, 3)
    assert image[:, 600:].mean((0, 1)) == pytest.approx([200, 30, 30], abs=4)
    assert photo(tmp_path / "me.jpg", gray=True).shape == (1024, 768)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_a_gray_file_stays_gray(tmp_path, mode):
    Image.new(mode, (8, 6)).save(tmp_path / "gray.png")
    assert photo(tmp_path / "gray.png").shape == (6, 8)


@pytest.mark.parametrize("name", ["16-bit.png", "see-through.png", "cmyk.jpg"])
def test_a_file_of_ones_own_is_read_as_in_a_folder(tmp_path, name):
    image = {"16": Image.fromarray(odd.gray_16()), "se": odd.see_through("RGBA"), "cm": odd.COLOUR.convert("CMYK")}
    image[name[:2]].save(tmp_path / name)
    expected, notes = photos.read_image(tmp_path / name)
    assert notes
    found = photo(tmp_path / name)
    np.testing.assert_array_equal(found if found.ndim == 3 else np.stack([found] * 3, axis=-1), expected)


def test_what_is_no_photo_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file 'me.jpg' in .*on Colab, drop it "):
        photo("me.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ValueError, match=r"text\.jpg cannot be read as an image"):
        photo(tmp_path / "text.jpg")


def test_a_file_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.new("RGB", (5, 4), "red").save(tmp_path / "red.png")
    assert photos.read_image("~/red.png")[0].shape == photo("~/red.png").shape == (4, 5, 3)
