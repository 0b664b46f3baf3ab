"""The walls around a submission: it sees the libraries, the package without the answers, and nothing else."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import coursekit

WORKER = Path(__file__).with_name("worker.py")
MEGABYTES = 512  # of each of the three folders that a submission may write to; they lie in memory
OPEN_CHECKS = ("__init__.py", "server.py", "transport.py")  # of `coursekit.checks`: what holds answers, and knows none
_SHIELDS = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"),
    *("--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", "grading"),
)
# System calls that take memory which belongs to no process, or read the keys of whoever grades: memfd_create,
# memfd_secret, shmget, msgget, mq_open, io_uring_setup, add_key, request_key, keyctl.
_REFUSED_CALLS = {
    "x86_64": (0xC000003E, (319, 447, 29, 68, 240, 425, 248, 249, 250)),
    "aarch64": (0xC00000B7, (279, 447, 194, 186, 180, 425, 217, 218, 219)),
}
NO_WALLS = """No submission was run: grading needs walls around them, and there are none here.
  {why}
On Linux, install bubblewrap 0.8 or newer (`apt install bubblewrap`). On macOS, on Windows, and where a kernel does not
allow it, grade in a container: `docker build -t course-grading .`, then `docker run ...` as docs/lecturer.md says."""


@dataclass(frozen=True)
class Walls:
    """How a worker is started behind walls."""

    command: tuple[str, ...]  # what stands before ``python``
    course: str  # where the package and the worker lie, seen from inside
    home: str  # the submission's own folder

    def environment(self) -> dict[str, str]:
        """Return all environment variables of a submission: none is the lecturer's."""
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return {
            "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            **{"HOME": self.home, "USER": "student", "LOGNAME": "student", "TMPDIR": "/tmp", "LANG": "C.UTF-8"},
            **{"COURSEKIT_PROFILE": "mini", "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
            **{"PYTHONHASHSEED": "0", "TQDM_DISABLE": "1", "PIP_RETRIES": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            **dict.fromkeys(threads, "1"),
        }


def bubblewrap() -> Walls:
    """Return walls built by bubblewrap: an allow-list, without network, other processes, or anybody's files.

    Raises
    ------
    SystemExit
        If there is no bubblewrap, or if it cannot work here; the text says what to do.
    """
    if platform.machine() not in _REFUSED_CALLS or not sys.platform.startswith("linux"):
        sys.exit(NO_WALLS.format(why=f"{platform.system()} on {platform.machine()} has no bubblewrap."))
    if not (program := shutil.which("bwrap")):
        sys.exit(NO_WALLS.format(why="bubblewrap (the program `bwrap`) is not installed."))
    walls = Walls((program, *_SHIELDS, *_binds()), "/course", "/student")
    with _filter() as calls:
        command = [*walls.command, "--seccomp", str(calls.fileno()), "--", sys.executable, "-c", ""]
        try:
            tried = subprocess.run(
                command, pass_fds=[calls.fileno()], env={}, capture_output=True, text=True, errors="replace", timeout=60
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            sys.exit(NO_WALLS.format(why=f"bubblewrap does not work here: {error}"))
    if tried.returncode:
        sys.exit(NO_WALLS.format(why=f"bubblewrap does not work here: {tried.stderr.strip()[-300:]}"))
    return walls


def _binds() -> list[str]:
    package = Path(coursekit.__file__).parent
    shown = {entry: f"/course/coursekit/{entry.name}" for entry in package.iterdir() if entry.name != "checks"}
    shown |= {package / "checks" / name: f"/course/coursekit/checks/{name}" for name in OPEN_CHECKS}
    shown |= {package.parent / "data": "/course/data", WORKER: "/course/worker.py"}
    arguments = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        link = f"/{name}"
        if os.path.islink(link):
            arguments += ["--symlink", os.readlink(link), link]
        elif os.path.isdir(link):
            arguments += ["--ro-bind", link, link]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp", "/student"):
        arguments += ["--perms", "0700", "--size", str(MEGABYTES * 2**20), "--tmpfs", folder]
    prefixes = {sys.prefix, sys.base_prefix, *map(os.path.realpath, (sys.prefix, sys.base_prefix))}
    for prefix in sorted(prefixes):
        arguments += [] if Path(prefix).is_relative_to("/usr") else ["--ro-bind", prefix, prefix]
        for installed in sorted(Path(prefix).glob("lib*/python*/*-packages/coursekit")):
            arguments += ["--tmpfs", str(installed)]  # a wheel brings the checks along
    for here, inside in shown.items():
        if here.exists():
            arguments += ["--ro-bind", str(here), inside]
    for fonts in _font_lists():
        arguments += ["--ro-bind", str(fonts), f"/student/.cache/matplotlib/{fonts.name}"]
    for folder in ("/proc", "/dev", "/"):  # whose knobs turn for root, if root grades
        arguments += ["--remount-ro", folder]
    return [*arguments, "--chdir", "/student"]


def _font_lists() -> list[Path]:
    """Return matplotlib's lists of this machine's fonts, which take seconds to make."""
    import matplotlib.font_manager

    return sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))


def _filter() -> socket.socket:
    """Return a stream to read the filter for system calls from, in the kernel's form (BPF)."""
    machine, calls = _REFUSED_CALLS[platform.machine()]
    refused = len(calls) + 1  # steps from the first comparison to the last line
    lines = [(0x20, 0, 0, 4), (0x15, 0, refused + 2, machine), (0x20, 0, 0, 0), (0x35, refused, 0, 0x40000000)]
    lines += [(0x15, refused - 1 - number, 0, call) for number, call in enumerate(calls)]
    lines += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | 38)]  # allow, or: "Function not implemented"
    ours, theirs = socket.socketpair()
    ours.sendall(b"".join(struct.pack("<HBBI", *line) for line in lines))
    ours.close()
    return theirs


class Sandbox:
    """One worker behind its walls; `channel` leads to it."""

    def __init__(self, walls: Walls) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs, _filter() as calls:
            shields = ["--seccomp", str(calls.fileno()), "--"] if "--unshare-all" in walls.command else []
            python = [sys.executable, f"{walls.course}/worker.py", str(theirs.fileno())]
            self._process = subprocess.Popen(
                [*walls.command, *shields, *python],
                pass_fds=[theirs.fileno(), *([calls.fileno()] if shields else [])],
                env=walls.environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def family(self, most: int) -> list[int]:
        """Return the numbers of its processes, up to about ``most``: some multiply faster than one can count."""
        found = [self._process.pid]
        for process in found:
            if len(found) > most:
                break
            for children in Path(f"/proc/{process}/task").glob("*/children"):
                try:
                    found += map(int, children.read_text(encoding="ascii").split())
                except OSError:  # it has just ended
                    continue
        return found

    @staticmethod
    def kilobytes(family: list[int], *, exact: bool = False) -> int:
        """Return the memory that processes hold; what they share counts for each of them unless ``exact``."""
        found, page = 0, os.sysconf("SC_PAGE_SIZE") // 1024
        for process in family:
            try:
                if exact:
                    text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
                    found += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
                else:
                    found += page * int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
            except (OSError, IndexError):  # it has just ended
                continue
        return found

    def has_ended(self) -> bool:
        """Tell whether its first process has gone; one that is just going gets a second."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        return self._process.returncode is not None

    def end(self) -> None:
        """Kill it; the kernel ends all that it started."""
        self.channel.close()
        self._process.kill()
        self._process.wait()
