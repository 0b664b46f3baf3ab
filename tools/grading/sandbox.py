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
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib

import coursekit

WORKER = Path(__file__).with_name("worker.py")
MOST_PROCESSES = 150  # threads count, too
MEGABYTES = 512  # of each of the three folders that a submission may write to; they lie in memory
OPEN_CHECKS = ("__init__.py", "server.py", "transport.py")  # of `coursekit.checks`: what holds answers, and knows none
_HIDDEN = ("checks", "__pycache__")
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
    shared: str  # where checks write files for it, which it may read; called the same on both sides

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


@contextmanager
def shared_folder() -> Iterator[str]:
    """Have the checks' temporary files, such as folders of photos, written where submissions can read them."""
    with tempfile.TemporaryDirectory(prefix="course-checks-") as folder:
        os.chmod(folder, 0o711)
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            yield folder
        finally:
            tempfile.tempdir = before


def bubblewrap(shared: str) -> Walls:
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
    walls = Walls((program, *_SHIELDS, *_binds(), "--ro-bind", shared, shared), "/course", "/student", shared)
    with _filter() as calls:
        command = [*walls.command, "--seccomp", str(calls.fileno()), "--", sys.executable, "-c", ""]
        tried = subprocess.run(
            command, pass_fds=[calls.fileno()], env={}, capture_output=True, text=True, errors="replace"
        )
    if tried.returncode:
        sys.exit(NO_WALLS.format(why=f"bubblewrap does not work here: {tried.stderr.strip()[-300:]}"))
    return walls


def shown() -> dict[Path, str]:
    """Return what a submission sees of the course, and where: the package without its checks, data, the worker."""
    package = Path(coursekit.__file__).parent
    found = {entry: f"coursekit/{entry.name}" for entry in package.iterdir() if entry.name not in _HIDDEN}
    found |= {package / "checks" / name: f"coursekit/checks/{name}" for name in OPEN_CHECKS}
    found |= {package.parent / "data": "data", WORKER: "worker.py"}
    return {source: inside for source, inside in found.items() if source.exists()}


def _binds() -> list[str]:
    arguments = ["--ro-bind", "/usr", "/usr"]
    for link in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64")):
        if link.is_symlink():
            arguments += ["--symlink", os.readlink(link), str(link)]
        elif link.is_dir():
            arguments += ["--ro-bind", str(link), str(link)]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/dev/shm", "/tmp", "/student"):
        arguments += ["--perms", "0700", "--size", str(MEGABYTES * 2**20), "--tmpfs", folder]
    prefixes = {sys.prefix, sys.base_prefix, *map(os.path.realpath, (sys.prefix, sys.base_prefix))}
    for prefix in sorted(prefixes):
        arguments += [] if Path(prefix).is_relative_to("/usr") else ["--ro-bind", prefix, prefix]
        for installed in sorted(Path(prefix).glob("lib*/python*/*-packages/coursekit")):
            arguments += ["--tmpfs", str(installed)]  # a wheel brings the checks along
    for source, inside in shown().items():
        arguments += ["--ro-bind", str(source), f"/course/{inside}"]
    for fonts in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):  # which take seconds to make
        arguments += ["--ro-bind", str(fonts), f"/student/.cache/matplotlib/{fonts.name}"]
    for folder in ("/proc", "/dev", "/"):  # whose knobs turn for root, if root grades
        arguments += ["--remount-ro", folder]
    return [*arguments, "--chdir", "/student"]


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


def _control_group() -> Path | None:
    """Return a new control group that holds at most `MOST_PROCESSES`, where whoever grades may make one.

    For root, to whom limits per user do not apply, nothing else stops a program that multiplies.
    """
    for parent in (Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")):
        try:
            group = Path(tempfile.mkdtemp(prefix="course-grading-", dir=parent))
        except OSError:
            continue
        try:
            (group / "pids.max").write_text(str(MOST_PROCESSES), encoding="ascii")
            return group
        except OSError:
            group.rmdir()
    return None


class Sandbox:
    """One worker behind its walls; `channel` leads to it."""

    def __init__(self, walls: Walls) -> None:
        self.channel, theirs = socket.socketpair()
        self._shared = Path(walls.shared)
        self._group = group = _control_group()

        def join() -> None:
            if group:
                (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")

        with theirs, _filter() as calls:
            shields = ["--seccomp", str(calls.fileno()), "--"] if "--unshare-all" in walls.command else []
            self._process = subprocess.Popen(
                [*walls.command, *shields, sys.executable, f"{walls.course}/worker.py", str(theirs.fileno())],
                pass_fds=[theirs.fileno(), calls.fileno()],
                env=walls.environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=join,
            )

    def share(self) -> None:
        """Let the submission read what checks have written, also where it runs as another user."""
        for folder in self._shared.iterdir():
            with contextlib.suppress(FileNotFoundError):  # of a check that has just ended
                folder.chmod(0o755)

    def use(self, most: int) -> tuple[int, int]:
        """Return how many processes it has, counted up to about ``most``, and the kilobytes of memory they hold.

        What they share counts for each of them.
        """
        family, pages = [self._process.pid], 0
        for process in family:
            with contextlib.suppress(OSError, IndexError):  # it has just ended
                pages += int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
                for children in Path(f"/proc/{process}/task").glob("*/children"):
                    family += map(int, children.read_text(encoding="ascii").split())
            if len(family) > most:  # some multiply faster than one can count
                break
        return len(family), pages * os.sysconf("SC_PAGE_SIZE") // 1024

    def kill(self) -> None:
        """Kill it; the kernel ends all that it started."""
        self._process.kill()

    def end(self) -> None:
        """Kill it, and remove every trace of it."""
        self.kill()
        self._process.wait()
        self.channel.close()
        if self._group:
            for _ in range(100):  # it is empty as soon as the kernel has ended them all
                try:
                    return self._group.rmdir()
                except OSError:
                    time.sleep(0.05)
