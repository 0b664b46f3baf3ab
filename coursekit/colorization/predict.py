"""Colour a whole photo of any size: the network works on a small copy, and the photo keeps its own lightness."""

from __future__ import annotations

import os

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor, nn

from coursekit import arguments
from coursekit.colorization.bins import Bins
from coursekit.colorization.cielab import SCALE, check_rgb, lab_to_rgb, rgb_to_lab
from coursekit.photos import ImageFileError, read_image
from coursekit.training.forward import eval_mode

_LONGEST = 4  # times the shorter side: more of a panorama is squeezed for the network


def as_photo(image: str | os.PathLike[str] | ArrayLike) -> np.ndarray:
    """Return a photo as uint8 ``[H, W, 3]``, whatever it comes as; a gray one gets three equal channels.

    It comes as a file of any kind; or as an array ``[H, W]``, ``[H, W, 1]``, ``[H, W, 3]`` or ``[H, W, 4]`` of bytes or
    of floats 0..1, whose fourth channel, the opacity, is not used. An ImageFileError or ValueError says what is wrong.
    """
    if isinstance(image, str | os.PathLike):
        try:
            return read_image(image)[0]
        except ImageFileError as error:
            raise ImageFileError(f"{os.fspath(image)!r}: {error}") from None
    image = np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else image
    array = np.asarray(image.detach().cpu() if isinstance(image, Tensor) else image)
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        raise ValueError(
            "a photo is an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] with at least one pixel, or a path; "
            f"this array has shape {array.shape}. For a tensor [3, H, W] use x.permute(1, 2, 0)."
        )
    array = check_rgb(np.broadcast_to(array[..., :3], (*array.shape[:2], 3)))
    if array.dtype != np.uint8:
        array = (array.astype(np.float64) * 255).round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(array)


def colorize(
    model: nn.Module,
    image: str | os.PathLike[str] | ArrayLike,
    bins: Bins | None = None,
    *,
    size: int = 112,
    temperature: float = 0.6,
    boost: float = 0.0,
) -> np.ndarray:
    """Colour a photo, to uint8 ``[H, W, 3]``. Of a colour photo only the lightness is used, to compare the result.

    The network sees a copy whose shorter side is ``size``; its a and b are enlarged to the photo's size. The
    defaults are those of the stored colorizer.

    Parameters
    ----------
    model : nn.Module
        From L / 100 ``[1, 1, h, w]`` to ab / 100 ``[1, 2, h', w']`` or, with ``bins``, logits ``[1, B, h', w']``.
    image : path or array
        As for `as_photo`, with its errors; any size.
    bins : Bins, optional
        Those the model was trained with.
    size : int
        About the size of the pictures that the model was trained on, in pixels.
    temperature, boost
        As for `Bins.decode`.
    """
    arguments.module(model)
    arguments.whole("size", size)
    lab = rgb_to_lab(as_photo(image))
    height, width = lab.shape[:2]
    scale = size / min(height, width)
    small = [min(round(scale * length), _LONGEST * size) for length in (height, width)]
    light = torch.from_numpy(_resize(lab[..., 0], *small) / SCALE)[None, None]
    parameter = next(model.parameters(), light)
    with eval_mode(model), torch.no_grad():
        output = model(light.to(parameter.device, parameter.dtype)).detach().float().cpu()
    channels = 2 if bins is None else len(bins)
    if output.ndim != 4 or output.shape[:2] != (1, channels):
        raise ValueError(
            f"the model gave {list(output.shape)} for an image of {small[0]} x {small[1]}; expected [1, {channels}, "
            "height, width]. A model that was trained for classes needs its `bins`."
        )
    ab = output if bins is None else bins.decode(output, temperature, boost)
    for channel in (0, 1):
        lab[..., 1 + channel] = _resize(ab[0, channel].numpy() * SCALE, height, width)
    return lab_to_rgb(lab.clip(-128, 128))  # a network may guess colours that there are not


def _resize(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.array(picture.resize((width, height), Image.Resampling.BILINEAR))
