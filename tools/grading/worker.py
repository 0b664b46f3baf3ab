"""Runs notebooks for the judge: ``python -m tools.grading.worker FD``, started by `judge`.

It imports the libraries once, then forks for every notebook, so that a notebook costs no import. The fork is confined,
runs the code cells, and forks again for every question, so that a question that hangs or crashes takes nothing along.
The checks are not in this process: in their place stand modules that do nothing.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib
import json
import linecache
import os
import re
import signal
import socket
import struct
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

from tools.grading import confine
from coursekit.checks.holder import Holder
from coursekit.checks.plain import LARGEST

PRELOADED = (
    *("numpy", "scipy.signal", "scipy.ndimage", "torch", "torchvision", "matplotlib.figure", "matplotlib.pyplot"),
    *("skimage", "sklearn", "PIL.Image", "coursekit.convolution", "coursekit.data"),
    *("coursekit.figures", "coursekit.filters", "coursekit.training"),
)


class CellTimeoutError(BaseException):
    """A cell takes too long. No `Exception`, so that ``except Exception`` does not catch it."""


def send(channel: socket.socket, data: bytes) -> None:
    """Send one message: its length, then its bytes."""
    channel.sendall(struct.pack("<Q", len(data)) + data)


def receive(channel: socket.socket) -> bytes:
    """Receive one message.

    Raises
    ------
    EOFError
        If the other side has gone.
    ValueError
        If the message is larger than any answer.
    """
    (length,) = struct.unpack("<Q", _exactly(channel, 8))
    if length > LARGEST + 1000:
        raise ValueError("a message is too large.")
    return _exactly(channel, length)


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts, missing = [], size
    while missing:
        part = channel.recv(min(missing, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def main(descriptor: int) -> None:
    """Wait for jobs; each comes with a socket of its own, and is forked off."""
    orders = socket.socket(fileno=descriptor)
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that the collector does not touch, and thereby copy, pages shared with the forks
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks: the system buries them
    orders.sendall(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, 65536, 1)
        if not message:
            return
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            orders.close()
            channel = socket.socket(fileno=descriptors[0])
            try:
                _begin(channel, json.loads(message))
            finally:
                os._exit(0)
        os.close(descriptors[0])
        orders.sendall(struct.pack("<Q", child))


def _begin(channel: socket.socket, job: dict) -> None:
    """Confine this process, and let a child of it run the notebook: the first in its process space."""
    scratch, hidden = Path(job["scratch"]), [Path(folder) for folder in job["hidden"]]
    os.setsid()
    confine.die_with_parent()
    confine.adopt_orphans()
    _close_output()
    missing = confine.enter_namespaces(scratch, hidden)
    child = os.fork()
    if child:
        channel.close()
        os.waitpid(child, 0)
        return
    confine.die_with_parent()
    if not missing:
        confine.drop_capabilities()
    os.chdir(scratch)
    tempfile.tempdir = str(scratch)
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "COURSEKIT_CACHE"):
        os.environ[name] = str(scratch)
    confine.limit_resources(job["megabytes"], job["seconds"])
    _replace_checks(job["labs"])
    allowed = confine.add_guard(scratch, hidden)
    send(channel, json.dumps({"unconfined": missing}).encode())
    namespace = _new_main()
    _run_cells(channel, json.loads(receive(channel)), namespace, job["cell_seconds"])
    _serve_questions(channel, namespace, allowed, job["question_seconds"])


def _close_output() -> None:
    """Send everything that is printed nowhere: megabytes of it cost nothing."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 -- for good


def _replace_checks(names: list[str]) -> None:
    """Put modules in the labs' place whose checks do nothing."""
    import coursekit.checks

    for name in names:
        stub = types.ModuleType(f"coursekit.checks.{name}")
        stub.check = stub.progress = stub.test = lambda *_, **__: None
        stub.done = lambda *_, **__: False  # cells that only show something are left out
        sys.modules[stub.__name__] = stub
        setattr(coursekit.checks, name, stub)


def _new_main() -> dict:
    """Make the notebook's namespace, with what a notebook finds there."""
    module = types.ModuleType("__main__")
    module.__dict__.update(
        __builtins__=builtins, display=lambda *_, **__: None, get_ipython=lambda: _Shell(), exit=sys.exit, quit=sys.exit
    )
    sys.modules["__main__"] = module
    return module.__dict__


class _Shell:
    """In place of IPython's shell: magic commands do nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *_, **__: None


def _run_cells(channel: socket.socket, order: dict, namespace: dict, seconds: float) -> None:
    """Run the cells one after the other, whatever happens to each; say what was begun and how it went."""
    signal.signal(signal.SIGALRM, _raise_timeout)
    for number, source in enumerate(order["cells"]):
        if number in order["skip"]:
            continue
        send(channel, json.dumps({"begun": number}).encode())
        error = ""
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, seconds)
                exec(_compiled(source, number), namespace)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except CellTimeoutError:
            error = f"stopped after {seconds:.0f} seconds"
        except BaseException as failure:  # also SystemExit
            error = f"{type(failure).__name__}: {failure}"[:500] if _is_sane(failure) else type(failure).__name__
        if error:
            send(channel, json.dumps({"cell": number, "error": error}).encode())
    send(channel, json.dumps({"finished": True}).encode())


def _is_sane(failure: BaseException) -> bool:
    with contextlib.suppress(BaseException):
        return isinstance(str(failure), str)
    return False


def _raise_timeout(*_: object) -> None:
    raise CellTimeoutError


def _compiled(source: str, number: int) -> types.CodeType:
    name = f"<cell {number + 1}>"
    source = re.sub(r"^([ \t]*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)  # magic and shell commands
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return compile(source, name, "exec", dont_inherit=True)


def _serve_questions(channel: socket.socket, namespace: dict, allowed: Callable, seconds: float) -> None:
    """Fork for every question; the child answers on the socket that came with it until that closes."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 16, 1)
        if not message:
            return
        with allowed():
            child = os.fork()
        if child == 0:
            channel.close()
            questions, holder = socket.socket(fileno=descriptors[0]), Holder(namespace)
            try:
                while True:
                    send(questions, holder.serve(receive(questions)))
            finally:
                os._exit(0)
        os.close(descriptors[0])
        end = time.monotonic() + seconds
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                with allowed():
                    os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.002)


if __name__ == "__main__":
    main(int(sys.argv[1]))
