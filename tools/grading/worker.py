"""Runs one notebook behind walls: ``python worker.py FD``, started by `sandbox`, and told what to do by `judge`.

The cells run in IPython's own shell, so that magics, ``await``, ``!`` and ``?`` mean what they mean in Jupyter. The
checks are not here: in their place stand modules that do nothing. Of the course, this file imports the server of the
answers alone. Without ``FD`` it only tries whether the walls stand.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import ctypes
import importlib
import json
import os
import platform
import resource
import signal
import struct
import sys
import time
import types
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

LIBRARIES = 1500  # MB that libraries reserve before anything runs
_SERVER = "coursekit.checks.server"
ANSWERED = 10  # the exit code of the process of a question that did not die
# System calls that take memory which belongs to no process, or read the keys of whoever grades: memfd_create,
# memfd_secret, shmget, msgget, mq_open, io_uring_setup, add_key, request_key, keyctl.
_REFUSED_CALLS = {
    "x86_64": (0xC000003E, (319, 447, 29, 68, 240, 425, 248, 249, 250)),
    "aarch64": (0xC00000B7, (279, 447, 194, 186, 180, 425, 217, 218, 219)),
}


class CellTimeoutError(BaseException):
    """Something takes too long. No `Exception`, so that ``except Exception`` does not catch it."""


def main(descriptor: int) -> None:
    """Import the libraries, then do what the judge orders: run a cell, answer a question about the variables."""
    os.nice(5)  # whoever looks after it comes first
    channel = Connection(descriptor)
    shell = _new_shell()
    for name in ("torch", "scipy.signal", "matplotlib.pyplot", "coursekit.data", "coursekit.figures", _SERVER):
        importlib.import_module(name)  # while nobody waits, and a file can be opened
    sys.modules["torch"].set_num_threads(1)
    channel.send_bytes(b'{"ready": true}')
    job = json.loads(channel.recv_bytes())
    os.chdir(Path.home())
    sys.path.insert(0, "")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # megabytes of prints cost nothing
        os.dup2(nowhere, stream)
    memory = (LIBRARIES + job["megabytes"]) * 2**20
    limits = {"DATA": memory, "NPROC": 200, "NOFILE": 1024, "CORE": 0}
    for what, most in limits.items():
        with contextlib.suppress(ValueError):  # there is a lower one
            resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (most, most))
    _replace_checks(lambda name: _done(channel, shell.user_ns, name, job["question_seconds"]))
    with contextlib.suppress(EOFError, OSError):
        while True:
            order = json.loads(channel.recv_bytes())
            if "cell" in order:
                error = _run_cell(shell, order["cell"], job["cell_seconds"])
                channel.send_bytes(json.dumps({"error": error[:500]}).encode())
            else:
                _answer(channel, shell.user_ns, job["question_seconds"], order["apart"])


def refuse_calls() -> None:
    """Have the kernel refuse some system calls from now on, by a filter in its own form (BPF)."""
    machine, calls = _REFUSED_CALLS[platform.machine()]
    refused = len(calls) + 1  # steps from the first comparison to the last line
    lines = [(0x20, 0, 0, 4), (0x15, 0, refused + 2, machine), (0x20, 0, 0, 0), (0x35, refused, 0, 0x40000000)]
    lines += [(0x15, refused - 1 - number, 0, call) for number, call in enumerate(calls)]
    lines += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | 38)]  # allow, or: "Function not implemented"
    text = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in lines))
    program = struct.pack("@HP", len(lines), ctypes.addressof(text))
    if ctypes.CDLL(None, use_errno=True).prctl(22, 2, program, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "the kernel filters no system calls")


def _replace_checks(done) -> None:
    """Put modules in the labs' place whose checks do nothing; ``done`` asks the judge."""
    import coursekit.checks

    sys.modules["coursekit.labs"] = coursekit.checks  # as older copies call it
    setattr(coursekit, "labs", coursekit.checks)  # noqa: B010 -- the package knows no such name
    for name in (f"lab{number:02d}" for number in range(100)):
        stub = types.ModuleType(f"coursekit.checks.{name}")
        vars(stub).update(dict.fromkeys(("check", "hint", "progress", "test"), lambda *_, **__: None))
        vars(stub)["done"] = lambda question, *_, **__: done(str(question))
        sys.modules[stub.__name__] = sys.modules[f"coursekit.labs.{name}"] = stub
        setattr(coursekit.checks, name, stub)


def _new_shell():
    """Make IPython's shell; nobody types into it or looks at it."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        failure: BaseException | None = None  # the first one of a cell, also of a magic that runs a cell

        def showtraceback(self, *_: object, **__: object) -> None:
            error = sys.exc_info()[1]
            if isinstance(error, CellTimeoutError):
                raise error
            self.failure = self.failure or error

        showsyntaxerror = showtraceback

        def enable_gui(self, gui: str | None = None) -> None:
            pass

        def ask_exit(self) -> None:
            raise SystemExit("exit")

    def no_input(*_: object) -> str:
        raise EOFError("input() waits for somebody to type, and nobody is there when a notebook is graded")

    plain = {"HistoryManager": {"enabled": False}, "DisplayFormatter": {"active_types": ["text/plain"]}}
    shell = Shell.instance(config=Config(plain))
    shell.ast_transformers.append(GoOn())
    builtins.input = no_input
    setattr(builtins, "__failed__", shell.showtraceback)  # noqa: B010 -- nobody else knows this name
    return shell


class GoOn(ast.NodeTransformer):
    """Lets a cell go on after a statement that fails; its last expression is left as it is, to be shown."""

    def visit_Module(self, module: ast.Module) -> ast.Module:
        """Put each statement into a ``try`` of its own."""
        for number, statement in enumerate(module.body):
            last = statement is module.body[-1] and isinstance(statement, ast.Expr)
            if not last and getattr(statement, "module", "") != "__future__":
                failed = ast.copy_location(ast.parse("__failed__()").body[0], statement)
                handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), None, [failed])
                module.body[number] = ast.copy_location(ast.Try([statement], [handler], [], []), statement)
        return module


def _run_cell(shell, source: str, seconds: float) -> str:
    """Run a cell whatever happens; return its first error, or ""."""
    try:
        signal.signal(signal.SIGALRM, _raise_timeout)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        shell.failure = None
        result = shell.run_cell(source, store_history=True)
        error = result.error_before_exec or shell.failure or result.error_in_exec
        if isinstance(error, CellTimeoutError):
            raise error
        return f"{type(error).__name__}: {error}".rstrip(": ") if error else ""
    except CellTimeoutError:
        return f"stopped after {seconds:g} seconds"
    except BaseException as error:  # of IPython itself, because somebody bends it; or of an error's own text
        return type(shell.failure or error).__name__
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        with contextlib.suppress(BaseException):
            sys.modules["matplotlib.pyplot"].close("all")  # as Jupyter does after each cell


def _raise_timeout(*_: object) -> None:
    raise CellTimeoutError("it takes longer than a check may")


def _done(channel: Connection, namespace: dict, question: str, seconds: float) -> bool:
    """Let the judge say, as the notebook's own check does, whether a question is answered rightly by now."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)  # what is said here may not be interrupted
    start = time.monotonic()
    channel.send_bytes(json.dumps({"done": question[:20]}).encode())
    _answer(channel, namespace, seconds, json.loads(channel.recv_bytes())["apart"])
    right = json.loads(channel.recv_bytes())["right"]
    if left:
        signal.setitimer(signal.ITIMER_REAL, max(0.01, left + start - time.monotonic()))
    return right


def _answer(channel: Connection, namespace: dict, seconds: float, apart: bool) -> None:
    """Answer requests about the notebook's variables until an empty one comes.

    With ``apart``, a process of its own does so, and what an answer breaks is broken for no other question; threads
    that the notebook has started are not in it. If it dies, each reply is empty. Without ``apart``, torch's and numpy's
    settings are for the time being what they are in a fresh notebook.
    """
    import numpy as np
    import torch

    from coursekit.checks.server import AnswerServer

    with warnings.catch_warnings(action="ignore"):  # Python warns of threads
        child = os.fork() if apart else 0
    if child:
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != ANSWERED
        while died:
            channel.send_bytes(b"")
            died = bool(channel.recv_bytes())
        return
    with contextlib.ExitStack() as settings:
        if apart:
            torch.set_num_threads(1)  # others would be waited for
        else:
            settings.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(torch.float32)
            for fresh in (torch.enable_grad(), np.errstate(all="warn"), warnings.catch_warnings(action="ignore")):
                settings.enter_context(fresh)
        server = AnswerServer(namespace)
        while request := channel.recv_bytes():
            signal.signal(signal.SIGALRM, _raise_timeout)
            left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)  # of a cell that asks
            reply = server.serve(request)
            signal.setitimer(signal.ITIMER_REAL, left)
            channel.send_bytes(reply)
    if apart:
        os._exit(ANSWERED)


if __name__ == "__main__":
    refuse_calls()
    if len(sys.argv) > 1:
        main(int(sys.argv[1]))
