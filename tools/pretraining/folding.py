"""Batch norm folded into the convolution before it, so that a network trained with it becomes a plain one; and back."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from coursekit import arguments


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Return a copy of a network in eval mode, in which each batch norm is part of the convolution before it.

    After training, a batch norm multiplies each channel by a number and adds another; so does a convolution with other
    weights and another bias. Only pairs that follow each other in an `nn.Sequential` are folded, as in VGG; the layers
    behind move up, so that torchvision's ``vgg16_bn`` gets the names of its ``vgg16``.

    Parameters
    ----------
    model : nn.Module
        It is left as it is.

    Returns
    -------
    nn.Module
        In eval mode, it gives the same outputs up to rounding.

    Raises
    ------
    TypeError
        If ``model`` is no module.
    ValueError
        If there is nothing to fold, or a batch norm has no running statistics.
    """
    model = copy.deepcopy(arguments.module(model)).eval()
    folded = 0
    for sequence in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        layers: list[nn.Module] = []
        for layer in sequence:
            if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
                if layer.running_mean is None:
                    raise ValueError("a batch norm without running statistics depends on the batch: it cannot fold.")
                layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
                folded += 1
            else:
                layers.append(layer)
        del sequence[:]
        sequence.extend(layers)
    if not folded:
        raise ValueError("there is nothing to fold: no Sequential has a BatchNorm2d right after a Conv2d.")
    return model


@torch.no_grad()
def insert_batch_norm(model: nn.Module, images: Tensor) -> nn.Module:
    """Return a copy of a network with a batch norm after each convolution, which gives the same outputs in eval mode.

    It is the way back from `fold_batch_norm`: each batch norm takes mean and variance of what it sees from ``images``,
    and undoes them by its own scale and shift. A plain deep network is hard to fine-tune; this one is not.

    Parameters
    ----------
    model : nn.Module
        With convolutions in an `nn.Sequential`, as VGG16; it is left as it is.
    images : Tensor
        ``[N, 3, H, W]``, as the model wants them; a batch of 64 or so will do.

    Returns
    -------
    nn.Module
        In eval mode.

    Raises
    ------
    TypeError
        If ``model`` is no module.
    ValueError
        If the images are no batch, or no Sequential has a convolution in it.
    """
    model = copy.deepcopy(arguments.module(model))
    if arguments.tensor("images", images, "[N, 3, H, W]", floats=True).ndim != 4:
        raise ValueError(f"images must be [N, 3, H, W], not {list(images.shape)}.")
    inserted = []
    for sequence in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for layer in [layer for layer in sequence if isinstance(layer, nn.Conv2d)]:
            inserted.append(nn.BatchNorm2d(layer.out_channels, device=layer.weight.device))
            sequence.insert(next(i for i, other in enumerate(sequence) if other is layer) + 1, inserted[-1])
    if not inserted:
        raise ValueError("there is no Sequential with a Conv2d in it.")

    def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        values = inputs[0].double()
        norm.running_mean.copy_(values.mean(dim=(0, 2, 3)))
        norm.running_var.copy_(values.var(dim=(0, 2, 3), unbiased=False))
        norm.bias.copy_(norm.running_mean)
        norm.weight.copy_((norm.running_var + norm.eps).sqrt())

    handles = [norm.register_forward_pre_hook(measure) for norm in inserted]
    model.eval()(images)  # each is measured on its way, and from then on changes nothing
    for handle in handles:
        handle.remove()
    return model
