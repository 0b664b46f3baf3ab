"""Batch norm folded into the convolution before it, so that a network trained with it becomes a plain one; and back."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Return a copy of a network in eval mode, in which each batch norm is part of the convolution before it.

    After training, a batch norm multiplies each channel by a number and adds another; so does a convolution with other
    weights and another bias. Only pairs that follow each other in an `nn.Sequential` are folded, as in VGG; the layers
    behind move up, so that torchvision's ``vgg16_bn`` gets the names of its ``vgg16``. Outputs stay, up to rounding.
    """
    model = copy.deepcopy(model).eval()
    for sequence in _sequences(model):
        layers: list[nn.Module] = []
        for layer in sequence:
            if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
                layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
            else:
                layers.append(layer)
        del sequence[:]
        sequence.extend(layers)
    return model


@torch.no_grad()
def insert_batch_norm(model: nn.Module, images: Tensor) -> nn.Module:
    """Return a copy of a network with a batch norm after each convolution, which gives the same outputs in eval mode.

    It is the way back from `fold_batch_norm`: each batch norm takes mean and variance of what it sees from ``images``,
    and undoes them by its own scale and shift. A plain deep network is hard to fine-tune; this one is not.

    The convolutions stand in an `nn.Sequential`, as VGG16's; of images ``[N, 3, H, W]`` a batch of 64 or so will do.
    """
    model, handles = copy.deepcopy(model).eval(), []
    for sequence in _sequences(model):
        layers: list[nn.Module] = []
        for layer in sequence:
            layers.append(layer)
            if isinstance(layer, nn.Conv2d):
                layers.append(nn.BatchNorm2d(layer.out_channels, device=layer.weight.device).eval())
                handles.append(layers[-1].register_forward_pre_hook(_measure))
        del sequence[:]
        sequence.extend(layers)
    model(images)  # each batch norm is measured on its way, and from then on changes nothing
    for handle in handles:
        handle.remove()
    return model


def _sequences(model: nn.Module) -> list[nn.Sequential]:
    return [module for module in model.modules() if isinstance(module, nn.Sequential)]


def _measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    values, state = inputs[0].double(), norm.state_dict()
    state["running_mean"].copy_(values.mean(dim=(0, 2, 3)))
    state["running_var"].copy_(values.var(dim=(0, 2, 3), unbiased=False))
    norm.bias.copy_(state["running_mean"])
    norm.weight.copy_((state["running_var"] + norm.eps).sqrt())
