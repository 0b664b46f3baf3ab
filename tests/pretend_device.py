"""A pretend accelerator on the CPU: finds code that mixes devices, without having a GPU.

A tensor on ``pretend:0`` is a wrapper around a tensor on the CPU. Each operation unwraps, computes on the CPU and wraps
again; one that meets tensors of both devices fails as it would on CUDA. It is about three times slower than the CPU.

    with pretend_device.installed():
        model.to("pretend")
        model(torch.zeros(1, 3, 8, 8))  # RuntimeError: Expected all tensors to be on the same device, but found ...

A kernel that runs notebooks on it calls `take_over`. What differs from CUDA: autocast changes no types, an operation in
the background does not exist, and an operation on CPU tensors takes a generator of the device.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import ClassVar
from unittest import mock

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

aten = torch.ops.aten
COPIES = {aten._to_copy, aten.copy_, aten._copy_from, aten._copy_from_and_resize}  # these may meet both devices
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}  # indices may be on the CPU


class _Module:
    """What torch asks the module of a backend for, as ``torch.cuda`` answers it."""

    is_available = is_initialized = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    set_device = synchronize = staticmethod(lambda device=None: None)
    manual_seed = manual_seed_all = staticmethod(lambda seed: None)
    _is_in_bad_fork = staticmethod(lambda: False)
    get_rng_state = staticmethod(lambda device=None: torch.get_rng_state())
    set_rng_state = staticmethod(lambda state, device=None: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.float16, torch.bfloat16])
    device = staticmethod(contextmanager(lambda device: (yield)))


# As this module is imported, since torch makes a place for each device before it goes backward for the first time.
_setup_privateuseone_for_python_backend("pretend", backend_module=_Module)
DEVICE = torch.device("pretend:0")


class Wrapped(torch.Tensor):
    """A tensor on the pretend device."""

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> Wrapped:
        layout = {"strides": raw.stride(), "storage_offset": raw.storage_offset(), "dtype": raw.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, raw.size(), device=DEVICE, **layout)
        made.raw = raw
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, *args, **(kwargs or {}))

    def __repr__(self, **_) -> str:
        return f"{repr(self.raw)[:-1]}, device='{DEVICE}')"

    def __format__(self, spec: str) -> str:
        return self.item().__format__(spec) if self.ndim == 0 else object.__format__(self, spec)

    def tolist(self) -> list:
        return self.raw.tolist()

    def numpy(self, *, force: bool = False):
        if force:
            return self.raw.numpy(force=True)
        raise TypeError(
            f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() to copy the tensor first."
        )

    def __array__(self, dtype=None, copy=None):
        return self.numpy()

    def new_tensor(self, values, *, dtype=None, device=None, requires_grad=False):
        made = torch.tensor(values, dtype=dtype or self.dtype, device=DEVICE if device is None else device)
        return made.requires_grad_(requires_grad)

    def __getitem__(self, index):
        return super().__getitem__(_without_lists(index))

    def __setitem__(self, index, value):
        super().__setitem__(_without_lists(index), value)

    def pin_memory(self, device=None):
        raise RuntimeError(f"cannot pin a tensor of {DEVICE}: only dense CPU tensors can be pinned")

    def __reduce_ex__(self, protocol):
        cpu = self.detach().raw
        return torch._utils._rebuild_device_tensor_from_cpu_tensor, (cpu, self.dtype, str(DEVICE), self.requires_grad)


def _without_lists(index: object) -> object:
    """Make a tensor of each list of indices, which torch would do out of reach."""
    several = index if isinstance(index, tuple) else (index,)
    several = tuple(torch.tensor(part) if isinstance(part, list) else part for part in several)
    return several if isinstance(index, tuple) else several[0]


class Generator(torch.Generator):
    """A generator that may be of the device."""

    of_device: ClassVar[
        dict[int, Generator]
    ] = {}  # by torch's own number, since operations are given another Python object

    def __new__(cls, device="cpu"):
        made = super().__new__(cls, "cpu" if _is_pretend(device) else device)
        if _is_pretend(device):
            cls.of_device[made._cdata] = made
        return made

    @property
    def device(self) -> torch.device:
        return DEVICE if self._cdata in self.of_device else super().device


def _run(function, *args, **kwargs):
    """Compute on the CPU; refuse what CUDA refuses."""
    leaves = tree_leaves((args, kwargs))
    wrapped = [x for x in leaves if isinstance(x, Wrapped)]
    packet = function.overloadpacket
    held = tree_leaves((args[:1], args[2:])) if packet in INDEXING else leaves
    others = [x for x in held if _is_plain(x) and x.ndim]  # CUDA takes a single number from the CPU
    if wrapped and others and packet not in COPIES:
        raise RuntimeError(f"Expected all tensors to be on the same device, but found {DEVICE} and cpu! ({packet})")
    target, generator = kwargs.get("device"), kwargs.get("generator")
    if generator is not None and generator._cdata not in Generator.of_device and (wrapped or _is_pretend(target)):
        raise RuntimeError(f"Expected a '{DEVICE.type}' device type for generator but found 'cpu'")
    args_, kwargs_ = tree_map(lambda x: x.raw if isinstance(x, Wrapped) else x, (args, kwargs))
    if _is_pretend(target):
        kwargs_["device"] = torch.device("cpu")
    result = function(*args_, **kwargs_)
    if packet in COPIES and packet is not aten._to_copy:
        return args[1] if packet is not aten.copy_ else args[0]
    if packet is aten._local_scalar_dense or (target is not None and not _is_pretend(target)):
        return result
    known = {id(x.raw): x for x in wrapped}  # an operation in place returns its own argument
    return tree_map(lambda x: known[id(x)] if id(x) in known else Wrapped(x) if _is_plain(x) else x, result)


def _is_pretend(device: object) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _is_plain(x: object) -> bool:
    return isinstance(x, torch.Tensor) and not isinstance(x, Wrapped)


_library = torch.library.Library("_", "IMPL")
_library.fallback(_run, "PrivateUse1")  # what makes a tensor on the device out of numbers
_library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")


def _made_there(make):
    """Let a function that makes a tensor of numbers make it on the CPU, and move it."""

    @functools.wraps(make)
    def made(values, *args, device=None, **options):
        if not isinstance(values, torch.Tensor):
            values = tree_map(lambda x: x.item() if isinstance(x, Wrapped) else x, values)
        there = _is_pretend(device)
        result = make(values, *args, device="cpu" if there else device, **options)
        return result.detach().to(DEVICE).requires_grad_(result.requires_grad) if there else result

    return made


def _load(load):
    @functools.wraps(load)
    def loaded(file, map_location=None, **options):
        there = isinstance(map_location, str | torch.device) and _is_pretend(map_location)
        result = load(file, map_location="cpu" if there else map_location, **options)
        return tree_map(lambda x: x.to(DEVICE) if there and isinstance(x, torch.Tensor) else x, result)

    return loaded


@contextmanager
def installed() -> Iterator[torch.device]:
    """Let torch have the device for a while."""
    swap = torch.__future__.get_swap_module_params_on_conversion()
    patches = [
        mock.patch.object(torch, "tensor", _made_there(torch.tensor)),
        mock.patch.object(torch, "as_tensor", _made_there(torch.as_tensor)),
        mock.patch.object(torch, "load", _load(torch.load)),
        mock.patch.object(torch, "Generator", Generator),
        mock.patch.object(torch.Tensor, "pin_memory", lambda self, device=None: self),
    ]
    torch.__future__.set_swap_module_params_on_conversion(True)  # so that module.to() may change a parameter's class
    try:
        with ExitStack() as stack:
            for patch in patches:
                stack.enter_context(patch)
            yield DEVICE
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swap)


_forever = ExitStack()


def take_over() -> None:
    """Make it the device of `coursekit.setup` for the rest of this process."""
    import coursekit

    _forever.enter_context(installed())
    coursekit.setup = functools.partial(coursekit.setup, device="pretend")
