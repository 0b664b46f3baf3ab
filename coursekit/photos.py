"""Photos: those that scikit-image and scikit-learn bring, without a look into the network, or your own."""

from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

_FILES = {
    "astronaut": "skimage/data/astronaut.png",
    "brick": "skimage/data/brick.png",
    "camera": "skimage/data/camera.png",
    "chelsea": "skimage/data/chelsea.png",
    "china": "sklearn/datasets/images/china.jpg",
    "clock": "skimage/data/clock_motion.png",
    "coffee": "skimage/data/coffee.png",
    "coins": "skimage/data/coins.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "grass": "skimage/data/grass.png",
    "gravel": "skimage/data/gravel.png",
    "hubble_deep_field": "skimage/data/hubble_deep_field.jpg",
    "immunohistochemistry": "skimage/data/ihc.png",
    "moon": "skimage/data/moon.png",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "page": "skimage/data/page.png",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "text": "skimage/data/text.png",
}


_LONGEST = 1024  # pixels of a photo of one's own


def photo(name: str | Path, gray: bool = False) -> np.ndarray:
    """Load one of the bundled photos, or a file of your own.

    In colour: ``astronaut`` 512x512, ``chelsea`` (a cat) 300x451, ``china`` (a temple) 427x640, ``coffee`` 400x600,
    ``flower`` 427x640, ``hubble_deep_field`` 872x1000, ``immunohistochemistry`` 512x512, ``motorcycle`` 500x741,
    ``retina`` 1411x1411, ``rocket`` 427x640. Gray: ``brick``, ``camera``, ``grass``, ``gravel``, ``moon`` 512x512,
    ``clock`` 300x400, ``coins`` 303x384, ``page`` 191x384, ``text`` 172x448. Height comes first.

    Parameters
    ----------
    name : str or Path
        One of those above; or the path of an image file, such as ``"me.jpg"``, which is turned upright and made smaller
        if a side has more than 1,024 pixels.
    gray : bool, default False
        Turn colour into gray: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601). A gray photo is gray either way.

    Returns
    -------
    ndarray
        uint8, 0..255, ``[H, W, 3]`` for colour or ``[H, W]`` for gray; yours to change.

    Raises
    ------
    ValueError
        If there is no photo of that name; the message has the closest one, and all. Or if the file is no image.
    FileNotFoundError
        If there is no such file, or the installed scikit-image or scikit-learn does not bring the photo.

    Notes
    -----
    Each photo's own source and licence stand in the help of the function of that name in `skimage.data`; for
    ``china`` and ``flower``, which are CC BY 2.0, in scikit-learn's ``datasets/images/README.txt``.
    """
    if isinstance(name, Path) or Path(name).suffix:
        return _own(Path(name).expanduser(), gray)
    if name not in _FILES:
        close = get_close_matches(str(name), _FILES, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no photo {name!r}.{hint} There are: {', '.join(_FILES)}.")
    package, _, file = _FILES[name].partition("/")
    spec = find_spec(package)
    path = Path(spec.origin if spec and spec.origin else "").parent / file
    if not path.is_file():
        raise FileNotFoundError(
            f"the photo {name!r} is not in the installed {package} ({path}). Install a version that brings it: "
            'pip install "scikit-image>=0.24" "scikit-learn>=1.5"'
        )
    with Image.open(path) as image:
        return np.array(image.convert("L" if gray or image.mode == "L" else "RGB"))


def _own(path: Path, gray: bool) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {str(path)!r} in {Path.cwd()}. Put the photo beside the notebook; on Colab, drop it "
            "into the Files panel at the left."
        )
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            upright.thumbnail((_LONGEST, _LONGEST))
            return np.array(upright.convert("L" if gray or upright.mode in ("1", "L", "LA") else "RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path.name} cannot be read as an image ({error}). Save it as JPEG or PNG first.") from error
