"""Limits for a process that runs a student's code: memory, files, network, other processes.

There are two layers. The *kernel's* (Linux, where namespaces are allowed): no network, no other process in sight, every
file read-only but the scratch folder, some folders hidden. And *Python's*, everywhere: a hook that no Python code can
take out refuses connections, new processes, writing outside the scratch folder, and reading hidden folders.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_BIND, _REC, _PRIVATE = 0x1000, 0x4000, 0x40000
_NUMBERS = {"x86_64": (442, 126), "aarch64": (442, 91)}  # the system calls mount_setattr and capset
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def limit_resources(megabytes: int, seconds: int) -> None:
    """Bound memory (beyond what is in use now), processor time, the size of files, their number."""
    with contextlib.suppress(OSError, ValueError):
        used = _data_bytes()
        resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * 2**20,) * 2)
    for what, most in [
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 100 * 2**20),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ]:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))


def enter_namespaces(scratch: Path, hidden: Sequence[Path]) -> str:
    """Leave the network, the other processes and the right to write behind; return "" or why that was not possible.

    The process must have one thread. A child that it forks next is the first one of the new process space: when it
    ends, all its descendants end.
    """
    if not sys.platform.startswith("linux") or platform.machine() not in _NUMBERS:
        return f"{sys.platform} on {platform.machine()} has none"
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()

    def call(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"{name}: {os.strerror(code)}")

    try:
        call("unshare", _NEWUSER | _NEWNS | _NEWNET | _NEWPID | _NEWIPC)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        call("mount", b"none", b"/", None, _REC | _PRIVATE, None)
        call("mount", bytes(scratch), bytes(scratch), None, _BIND, None)
        for folder in hidden:
            call("mount", b"none", bytes(folder), b"tmpfs", 0, b"size=4k,mode=500")
        _set_read_only(libc, b"/", recursive=True, on=True)
        _set_read_only(libc, bytes(scratch), recursive=False, on=False)
    except OSError as error:
        return str(error)
    return ""


def drop_capabilities() -> None:
    """Give up every right that the new user space brought, for this process and all that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc.syscall(_NUMBERS[platform.machine()][1], header, nothing)


def die_with_parent() -> None:
    """Ask the kernel (Linux) to kill this process when its parent ends."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends (Linux), so that they can be found and killed."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def add_guard(scratch: Path, hidden: Sequence[Path]) -> Callable[[], AbstractContextManager]:
    """Install Python's layer; return a context in which the worker itself may fork and kill."""
    inside = os.path.realpath(scratch)
    closed = [os.path.realpath(folder) for folder in hidden]
    ours = [False]

    def guard(event: str, arguments: tuple) -> None:
        if event == "open" and not isinstance(arguments[0], int):
            path = _real(arguments[0])
            if any(_is_below(path, folder) for folder in closed):
                raise PermissionError(13, "not for submissions", path)
            if (arguments[2] or 0) & _WRITING and not _is_below(path, inside) and path != os.devnull:
                raise PermissionError(13, "a submission may write into its own folder only", path)
        elif event in _PATHS:
            for position, folder in _PATHS[event]:
                path = _real(arguments[position], arguments[folder] if folder < len(arguments) else -1)
                if not _is_below(path, inside):
                    raise PermissionError(13, "a submission may change its own folder only", path)
        elif event in _REFUSED and not ours[0]:
            raise PermissionError(13, f"a submission may not do this: {event}")

    @contextlib.contextmanager
    def allowed() -> Iterator[None]:
        ours[0] = True
        try:
            yield
        finally:
            ours[0] = False

    sys.addaudithook(guard)
    return allowed


_REFUSED = {
    *("os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.exec", "os.system", "subprocess.Popen", "pty.spawn"),
    *("os.kill", "os.killpg", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"),
}
# Event: positions of a path and of the folder it is relative to.
_PATHS = {
    "os.remove": [(0, 1)],
    "os.rmdir": [(0, 1)],
    "os.mkdir": [(0, 2)],
    "os.rename": [(0, 2), (1, 3)],
    "os.link": [(1, 3)],
    "os.symlink": [(1, 2)],
    "os.chmod": [(0, 2)],
    "os.chown": [(0, 3)],
    "os.truncate": [(0, 9)],
    "os.utime": [(0, 3)],
}


def _real(path: object, folder: object = -1) -> str:
    if isinstance(path, int):
        return os.path.realpath(f"/proc/self/fd/{path}")
    path = os.fsdecode(path)
    if isinstance(folder, int) and folder >= 0 and not os.path.isabs(path):
        path = os.path.join(f"/proc/self/fd/{folder}", path)
    parent, name = os.path.split(path)
    return os.path.join(os.path.realpath(parent), name) if name else os.path.realpath(parent)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def _data_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _set_read_only(libc: ctypes.CDLL, path: bytes, *, recursive: bool, on: bool) -> None:
    attributes = (ctypes.c_uint64 * 4)(int(on), int(not on), 0, 0)  # set, clear; 1 is MOUNT_ATTR_RDONLY
    number = _NUMBERS[platform.machine()][0]
    flags = 0x8000 if recursive else 0
    if libc.syscall(number, -100, path, flags, attributes, ctypes.c_size_t(32)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount_setattr: {os.strerror(code)}")
