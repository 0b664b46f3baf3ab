"""The walls around a submission: it sees the libraries, the package without the answers, and nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import matplotlib

import coursekit

WORKER = Path(__file__).with_name("worker.py")
GONE = "the process ended"  # by itself
START = 120.0  # seconds until the libraries are imported, on a busy machine
MEGABYTES = 512  # of each of the three folders that a submission may write to; they lie in memory
OPEN_CHECKS = ("__init__.py", "server.py", "transport.py")  # of `coursekit.checks`: what holds answers, and knows none
_HIDDEN = ("checks", "__pycache__")
_SHARING = 8  # processes that are taken to share the libraries' memory
_SHIELDS = """--unshare-all --unshare-user --disable-userns --die-with-parent --new-session --cap-drop ALL
    --uid 1000 --gid 1000 --hostname grading"""
_ENVIRONMENT = """USER=student TMPDIR=/tmp LANG=C.UTF-8 COURSEKIT_PROFILE=mini OMP_NUM_THREADS=1 PYTHONHASHSEED=0
    MPLBACKEND=module://matplotlib_inline.backend_inline TQDM_DISABLE=1 PIP_RETRIES=0 PIP_DISABLE_PIP_VERSION_CHECK=1"""
_NO_WALLS = """No submission was run: grading needs walls around them, and there are none here.
  {why}
On Linux, install bubblewrap 0.8 or newer (`apt install bubblewrap`). On macOS, on Windows, and where a kernel does not
allow it, grade in a container: `docker build -t course-grading .`, then `docker run ...` as docs/lecturer.md says."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell_seconds: float = 150.0
    question_seconds: float = 20.0  # for the check of one question
    seconds: float = 600.0  # for all together
    megabytes: int = 2000  # of memory, beyond the libraries'
    processes: int = 40  # at a time


@dataclass(frozen=True)
class Walls:
    """How a worker is started behind walls: what stands before ``python``, and two folders as seen from inside."""

    command: tuple[str, ...]
    course: str = "/course"
    home: str = "/student"  # the submission's own

    def start(self, *arguments: str, channel: int | None = None) -> subprocess.Popen:
        """Start Python behind the walls. None of the environment variables is the lecturer's."""
        environment: dict[str, str] = {}
        for setting in _ENVIRONMENT.split():
            name, _, environment[name] = setting.partition("=")
        environment |= {"HOME": self.home, "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"}
        return subprocess.Popen(
            [*self.command, sys.executable, *arguments],
            pass_fds=[] if channel is None else [channel],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if channel else subprocess.PIPE,
            start_new_session=True,
        )


def bubblewrap() -> Walls:
    """Return walls built by bubblewrap: an allow-list, without network, other processes, or anybody's files.

    Where it is missing or cannot work, nothing is graded: the text says what to do.
    """
    why = "bubblewrap (the program `bwrap`) is not installed."
    if program := shutil.which("bwrap"):
        walls = Walls((program, *_SHIELDS.split(), *_binds(), "--"))
        tried = walls.start("/course/worker.py")
        why = f"bubblewrap does not work here: {tried.communicate()[1].decode(errors='replace').strip()[-300:]}"
        if tried.returncode == 0:
            return walls
    sys.exit(_NO_WALLS.format(why=why))


def shown() -> dict[Path, str]:
    """Return what a submission sees of the course, and where: the package without its checks, data, the worker."""
    package = Path(coursekit.__file__).parent
    found = {entry: f"coursekit/{entry.name}" for entry in package.iterdir() if entry.name not in _HIDDEN}
    found |= {package / "checks" / name: f"coursekit/checks/{name}" for name in OPEN_CHECKS}
    return found | {package.parent / "data": "data", WORKER: "worker.py"}


def _binds() -> list[str]:
    arguments = ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp", "/student"):
        arguments += ["--perms", "0700", "--size", str(MEGABYTES * 2**20), "--tmpfs", folder]
    for folder in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        arguments += ["--ro-bind-try", folder, folder]
    for prefix in sorted({sys.prefix, sys.base_prefix, *map(os.path.realpath, (sys.prefix, sys.base_prefix))}):
        arguments += ["--ro-bind", prefix, prefix]
        for installed in Path(prefix).glob("lib*/python*/*-packages/coursekit"):
            arguments += ["--tmpfs", str(installed)]  # a wheel brings the checks along
    for source, inside in shown().items():
        arguments += ["--ro-bind-try", str(source), f"/course/{inside}"]
    for fonts in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):  # which take seconds to make
        arguments += ["--ro-bind", str(fonts), f"/student/.cache/matplotlib/{fonts.name}"]
    for folder in ("/proc", "/dev", "/"):  # where root, if root grades, could change settings
        arguments += ["--remount-ro", folder]
    return [*arguments, "--chdir", "/student"]


class EndedError(Exception):
    """The worker has ended; the text says why."""


class Sandbox:
    """One worker behind its walls. A thread ends it when it takes too much, or longer than until `deadline`."""

    def __init__(self, walls: Walls, limits: Limits, stop: threading.Event) -> None:
        self.deadline = time.monotonic() + START
        self._limits, self._stop, self._base = limits, stop, 0
        self._why = ""  # it had to be ended
        ours, theirs = socket.socketpair()
        self._channel = Connection(os.dup(ours.fileno()))
        with theirs:
            self._process = walls.start(f"{walls.course}/worker.py", str(theirs.fileno()), channel=theirs.fileno())
        threading.Thread(target=self._watch, args=(ours,), daemon=True).start()

    def close(self) -> None:
        """Kill it; the kernel ends all that it started."""
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def send(self, message: bytes) -> None:
        """Send a message."""
        try:
            self._channel.send_bytes(message)
        except OSError:
            raise EndedError(self._why or GONE) from None

    def receive(self, most: int) -> bytes:
        """Wait for a message of at most ``most`` bytes."""
        try:
            return self._channel.recv_bytes(most)
        except (EOFError, ConnectionError):
            raise EndedError(self._why or GONE) from None
        except OSError:
            raise EndedError(self._why or "the process sends a message that is too large") from None

    def watch_memory(self) -> None:
        """From now on, count memory beyond what it holds at this moment."""
        _, self._base = self._use()

    def _watch(self, ours: socket.socket) -> None:
        while self._process.poll() is None:
            if why := self._excess():
                self._why = why
                self._process.kill()
            time.sleep(0.1)
        with ours:  # a process that outlives it is heard no more
            ours.shutdown(socket.SHUT_RDWR)

    def _excess(self) -> str:
        if self._stop.is_set():
            return "grading was interrupted"
        if time.monotonic() > self.deadline:
            return "the process took too long, and could not be interrupted"
        processes, kilobytes = self._use() if self._base else (0, 0)
        if processes > self._limits.processes:
            return f"the process started more than {self._limits.processes} others"
        if kilobytes > self._base * min(processes, _SHARING) + 1500 * self._limits.megabytes:
            return f"the process took more than {self._limits.megabytes} MB of memory"
        return ""

    def _use(self) -> tuple[int, int]:
        """Return how many processes it has and the kilobytes of memory they hold; what they share counts for each."""
        family, pages = [self._process.pid], 0
        for process in family:
            with contextlib.suppress(OSError, IndexError):  # it has just ended
                pages += int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
                for children in Path(f"/proc/{process}/task").glob("*/children"):
                    family += map(int, children.read_text(encoding="ascii").split())
            if len(family) > self._limits.processes:  # some multiply faster than one can count
                break
        return len(family), pages * os.sysconf("SC_PAGE_SIZE") // 1024
