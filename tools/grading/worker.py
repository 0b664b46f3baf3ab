"""Runs one notebook behind walls: ``python worker.py FD``, started by `sandbox`, and told what to do by `judge`.

The cells run in IPython's own shell, so that magics, ``await``, ``!`` and ``?`` mean what they mean in Jupyter. Each
question is answered in a fork, so that one that hangs or crashes takes nothing along. The checks are not here: in their
place stand modules that do nothing. Of the course, this file imports the server of the answers alone.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
import traceback
import types
from pathlib import Path

PRELOADED = (
    *("numpy", "scipy.signal", "torch", "matplotlib.pyplot", "coursekit.checks.server"),
    *("coursekit.convolution", "coursekit.data", "coursekit.figures"),
)


class CellTimeoutError(BaseException):
    """Something takes too long. No `Exception`, so that ``except Exception`` does not catch it."""


def send(channel: socket.socket, data: bytes) -> None:
    """Send one message: its length, then its bytes."""
    channel.sendall(struct.pack("<Q", len(data)) + data)


def _receive(channel: socket.socket) -> bytes:
    (length,) = struct.unpack("<Q", _exactly(channel, 8))
    return _exactly(channel, length)


def _exactly(channel: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = channel.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def main(descriptor: int) -> None:
    """Import the libraries, wait for a notebook, run its cells, then answer questions about it."""
    os.nice(5)  # whoever looks after it comes first
    channel = socket.socket(fileno=descriptor)
    shell = _new_shell()
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)
    send(channel, b'{"ready": true}')
    job = json.loads(_receive(channel))
    os.chdir(Path.home())
    sys.path.insert(0, "")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # megabytes of prints cost nothing
        os.dup2(nowhere, stream)
    _limit_resources(job["megabytes"], job["seconds"])
    _replace_checks(job["labs"])
    for number, source in enumerate(job["cells"]):
        if number not in job["skip"]:
            send(channel, json.dumps({"begun": number}).encode())
            if error := _run_cell(shell, source, job["cell_seconds"]):
                send(channel, json.dumps({"cell": number, "error": error[:500]}).encode())
    send(channel, b'{"finished": true}')
    _serve_questions(channel, shell.user_ns, job["question_seconds"])


def _limit_resources(megabytes: int, seconds: int) -> None:
    """Bound memory (beyond what is in use now), processor time, the size of files, open files, processes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:"))
    for what, most in [
        (resource.RLIMIT_DATA, used * 1024 + megabytes * 2**20),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 200 * 2**20),
        (resource.RLIMIT_NOFILE, 1024),
        (resource.RLIMIT_NPROC, 200),
        (resource.RLIMIT_CORE, 0),
    ]:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))


def _replace_checks(names: list[str]) -> None:
    """Put modules in the labs' place whose checks do nothing."""
    import coursekit.checks

    sys.modules["coursekit.labs"] = coursekit.labs = coursekit.checks  # as older copies call it
    for name in names:
        stub = types.ModuleType(f"coursekit.checks.{name}")
        stub.check = stub.progress = stub.test = lambda *_, **__: None
        stub.done = lambda *_, **__: False  # cells that only show something are left out
        sys.modules[stub.__name__] = sys.modules[f"coursekit.labs.{name}"] = stub
        setattr(coursekit.checks, name, stub)


def _new_shell():
    """Make IPython's shell; nobody types into it or looks at it."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        failure = None  # also of a magic that runs a cell, which tells nobody

        def showtraceback(self, *_: object, **__: object) -> None:
            self.failure = sys.exc_info()[1]

        showsyntaxerror = showtraceback

        def enable_gui(self, gui: str | None = None) -> None:
            pass

        def ask_exit(self) -> None:
            raise SystemExit("exit")

    def no_input(*_: object) -> str:
        raise EOFError("input() waits for somebody to type, and nobody is there when a notebook is graded")

    builtins.input = no_input
    shell = Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.display_formatter.active_types = ["text/plain"]
    return shell


def _run_cell(shell, source: str, seconds: float) -> str:
    """Run a cell whatever happens; after a statement that fails go on with the next. Return the first error, or ""."""
    first, end = "", time.monotonic() + seconds
    try:
        for _ in range(20):
            signal.signal(signal.SIGALRM, _raise_timeout)
            signal.setitimer(signal.ITIMER_REAL, max(end - time.monotonic(), 0.01))
            shell.failure = None
            result = shell.run_cell(source, store_history=True)
            error = result.error_before_exec or result.error_in_exec or shell.failure
            if isinstance(error, CellTimeoutError):
                raise error
            if error is None:
                break
            first = first or _describe(error)
            if not (source := _rest(shell, source, error)):
                break
    except CellTimeoutError:
        first = first or f"stopped after {seconds:g} seconds"
    except BaseException as failure:  # of IPython itself, because somebody bends it
        first = first or type(failure).__name__
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        with contextlib.suppress(BaseException):
            sys.modules["matplotlib.pyplot"].close("all")  # as Jupyter does after each cell
    return first


def _describe(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}, line {error.lineno}"
    try:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    except Exception:
        return type(error).__name__


def _rest(shell, source: str, error: BaseException) -> str:
    """Return the statements of a cell behind the one that failed."""
    if source.startswith(("%%time\n", "%%capture")):
        return source.split("\n", 1)[1] if "\n" in source else ""
    try:
        statements = ast.parse(shell.transform_cell(source)).body
    except (SyntaxError, ValueError):
        return ""
    frames = traceback.walk_tb(error.__traceback__)
    failed = next((line for frame, line in frames if frame.f_globals is shell.user_global_ns), None)
    if failed is None:
        return ""
    return ast.unparse(ast.Module([each for each in statements if each.lineno > failed], []))


def _raise_timeout(*_: object) -> None:
    raise CellTimeoutError("it takes longer than a check may")


def _serve_questions(channel: socket.socket, namespace: dict, seconds: float) -> None:
    """Answer on each socket that comes until it closes: in a fork, or if told ``b"here"`` in this very process."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 4, 1)
        if not message:
            return
        questions = socket.socket(fileno=descriptors[0])
        signal.signal(signal.SIGALRM, _raise_timeout)
        if message == b"here":
            _answer(questions, namespace, seconds)
            questions.close()
            continue
        child = os.fork()
        if child == 0:
            channel.close()
            try:
                sys.modules["torch"].set_num_threads(1)  # other threads do not survive a fork: waiting for them hangs
                _answer(questions, namespace, seconds)
            finally:
                os._exit(0)
        questions.close()
        end = time.monotonic() + seconds + 1
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.002)


def _answer(questions: socket.socket, namespace: dict, seconds: float) -> None:
    from coursekit.checks.server import AnswerServer

    server = AnswerServer(namespace)
    with contextlib.suppress(EOFError, OSError, CellTimeoutError):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        while True:
            send(questions, server.serve(_receive(questions)))
    signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
