"""Downloads from servers that cut, hang, forget and redirect, onto disks that are full or closed.

Each must end with the right file or a clear error, never with a wrong file that looks right.

    python tests/stress/downloads.py [--small]
"""

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from coursekit.data import downloads
from coursekit.data.downloads import DownloadError, fetch
from tests import servers
from tests.servers import content, redirect, status
from tests.stress import common

DATA = random.Random(0).randbytes(700_000)
SHA = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2
WRONG = DATA[:HALF] + b"?" + DATA[HALF + 1 :]
SMALL_DISK = "-t tmpfs -o size=300k none '{}'"


def drip(handler):
    """Send the file in many small pieces, slowly."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(DATA)))
    handler.end_headers()
    for start in range(0, len(DATA), 70_000):
        handler.wfile.write(DATA[start : start + 70_000])
        handler.wfile.flush()
        time.sleep(0.05)


def reset_in_the_middle(handler):
    content(DATA, cut=HALF)(handler)
    servers.reset(handler)


AGAIN = ", then well again"
RIGHT = ""  # what is expected of a case that ends with the right file
SERVERS = {
    # what the server does: (its answers, what the error says, or RIGHT)
    "truncated, each time": ([content(DATA, cut=HALF, ranges=False)], "IncompleteRead"),
    "truncated once": ([content(DATA, cut=HALF), content(DATA)], RIGHT),
    "truncated once, no ranges": ([content(DATA, cut=HALF, ranges=False), content(DATA, ranges=False)], RIGHT),
    "shorter, and says so": ([content(DATA[:-1])], "the wrong contents arrived"),
    "shorter, and does not say so": ([content(DATA[:-1], length=False)], "the wrong contents arrived"),
    "longer": ([content(DATA + b"x")], "the wrong contents arrived"),
    "wrong bytes": ([content(WRONG)], "the wrong contents arrived"),
    "wrong bytes once": ([content(WRONG), content(DATA)], RIGHT),
    "empty": ([content(b"")], "the wrong contents arrived"),
    "403": ([status(403)], "403"),
    "404": ([status(404)], "404"),
    "500": ([status(500)], "500"),
    "503 once": ([status(503), content(DATA)], RIGHT),
    "slow": ([drip], RIGHT),
    "silent": ([servers.silence], "timed out"),
    "silent in the middle": (
        [content(DATA, cut=HALF, ranges=False, then=lambda server: server.closing.wait())],
        "timed out",
    ),
    "reset": ([servers.reset], "Connection"),
    "reset in the middle": ([reset_in_the_middle, content(DATA)], RIGHT),
    "login page": ([content(b"<html>", kind="text/html")], "perhaps this network wants you to log in"),
    "redirect to a login page": ([redirect("/login")], "perhaps this network wants you to log in"),
    "redirect in a circle": ([redirect("/file.bin")], "Exceeded 30 redirects"),
    "range ignored": ([content(DATA, cut=HALF), content(DATA, ranges=False)], RIGHT),
}


def outcome(path: Path, error: Exception | None, expected: str) -> str:
    """Return "right file" or "clear error"; anything else begins with WRONG."""
    if path.exists() and path.read_bytes() != DATA:
        return "WRONG: another file lies at the path"
    if error is None:
        return "right file" if path.exists() and expected == RIGHT else "WRONG: no error, and no file"
    if not isinstance(error, DownloadError) or not expected or expected not in str(error):
        return f"WRONG: {type(error).__name__}: {error}"
    return "clear error"


def attempt(url: str, path: Path, expected: str) -> str:
    try:
        fetch(url, path, sha256=SHA)
    except Exception as error:
        return outcome(path, error, expected)
    return outcome(path, None, expected)


def from_servers(folder: Path, local: servers.LocalServer) -> dict[str, str]:
    local.serve("/login", content(b"<html>Log in</html>", kind="text/html"))
    results = {}
    for number, (kind, (answers, expected)) in enumerate(SERVERS.items()):
        path = folder / str(number) / "file.bin"
        results[kind] = attempt(local.serve("/file.bin", *answers), path, expected)
        if expected and not results[kind].startswith("WRONG"):  # once the server is well again, the file is had
            again = attempt(local.serve("/file.bin", content(DATA)), path, RIGHT)
            results[f"{kind}{AGAIN}"] = again
    results["nobody listens"] = attempt(servers.dead_address(), folder / "dead" / "file.bin", "refused")
    return results


def interrupted_twice(folder: Path, local: servers.LocalServer) -> dict[str, str]:
    """Kill the downloading process in the middle, twice; the third continues where they were."""
    path = folder / "killed" / "file.bin"
    pauses = [
        content(DATA, cut=HALF, then=lambda server: server.closing.wait()),
        content(DATA, cut=1000, then=lambda server: server.closing.wait()),
    ]
    url = local.serve("/file.bin", *pauses, content(DATA))
    asked = len(local.requests)
    for number in (1, 2):
        command = [sys.executable, __file__, "--child", str(path), url]
        process = subprocess.Popen(command, env=common.environment(), stdout=subprocess.DEVNULL)
        for _ in range(2000):
            if len(local.requests) == asked + number:
                break
            time.sleep(0.01)
        time.sleep(0.2)  # so that what is there arrives
        process.kill()
        process.wait()
    before = local.sent()
    result = attempt(url, path, RIGHT)
    whole = "" if local.sent() - before < len(DATA) else "; what had arrived was sent again"
    return {"killed twice, then left alone": result + whole}


def two_at_once(folder: Path, local: servers.LocalServer) -> dict[str, str]:
    url = local.serve("/file.bin", content(DATA))
    path = folder / "threads" / "file.bin"
    with ThreadPoolExecutor(8) as pool:
        threads = ", ".join(set(pool.map(lambda _: attempt(url, path, RIGHT), range(8))))
    path = folder / "processes" / "file.bin"
    command = [sys.executable, __file__, "--child", str(path), url]
    running = [subprocess.Popen(command, env=common.environment(), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in running]
    fine = all(text.splitlines()[-1:] == [f"ok {path}"] for text in said) and not any(p.returncode for p in running)
    processes = outcome(path, None, RIGHT) if fine else f"WRONG: {said}"
    return {"eight threads at once": threads, "two processes at once": processes}


def full_disk(folder: Path, local: servers.LocalServer) -> dict[str, str]:
    """A disk of 300 KB, mounted for one child only; where that is not allowed, a limit for the length of a file."""
    where = folder / "disk"
    where.mkdir()
    prefix = common.mounted(SMALL_DISK.format(where))
    kind = "disk full" if prefix else "files limited to 300 KB"
    missing = {} if prefix else {"disk full": "cannot be imitated on this system, which mounts nothing"}
    urls = [local.serve("/known.bin", content(DATA)), local.serve("/unknown.bin", content(DATA, length=False))]
    said = "(No space left on device)" if prefix else "(File too large)"
    limit = () if prefix else ("--limit",)
    done = common.child(__file__, *limit, "--child", where / "file.bin", *urls, prefix=prefix or ())
    return missing | _said(done, {f"{kind}, size known": said, f"{kind}, size not known": said})


def closed_folder(folder: Path, local: servers.LocalServer) -> dict[str, str]:
    """A folder in which the user may not write; a superuser first gives up the right to do so all the same."""
    where = folder / "closed"
    where.mkdir(mode=0o555)
    prefix = common.obedient()
    if prefix is None:
        return {"folder not writable": "cannot be imitated on this system, which has no setpriv"}
    url = local.serve("/file.bin", content(DATA))
    done = common.child(__file__, "--child", where / "file.bin", url, prefix=prefix)
    return _said(done, {"folder not writable": "(Permission denied)"})


def _said(done: subprocess.CompletedProcess, expected: dict[str, str]) -> dict[str, str]:
    """Compare what a child printed, a line for each of its downloads, with what it should have."""
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok ", "DownloadError "))]
    if done.returncode or len(lines) != len(expected):
        return dict.fromkeys(expected, f"WRONG: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return {
        kind: "clear error" if line.startswith("DownloadError ") and cause in line else f"WRONG: {line}"
        for (kind, cause), line in zip(expected.items(), lines, strict=True)
    }


def as_child(path: str, *urls: str) -> None:
    for url in urls:
        try:
            fetch(url, path, sha256=SHA)
            print("ok", path)
        except Exception as error:
            print(type(error).__name__, *str(error).split())


def limit_files() -> None:
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))


def main() -> None:
    if "--limit" in sys.argv:
        limit_files()
    if "--child" in sys.argv:
        as_child(*sys.argv[sys.argv.index("--child") + 1 :])
        return
    small = "--small" in sys.argv
    os.environ["no_proxy"] = "*"
    downloads._TIMEOUT = 0.4
    results = {}
    with tempfile.TemporaryDirectory() as scratch, servers.LocalServer() as local:
        folder = Path(scratch)
        for part in (from_servers, full_disk, closed_folder) if small else PARTS:
            results |= part(folder, local)
    for kind, result in results.items():
        print(f"{kind:45} {result}")
    common.finish(*report(results))


def report(results: dict[str, str]) -> tuple[list[tuple[str, int, str]], list[str]]:
    """Return a row for each outcome, and what went wrong."""
    failed = [kind for kind in results if kind.endswith(AGAIN)]
    well = [kind for kind in failed if results[kind] == "right file"]
    rows = [("downloads that failed, tried again when the server is well", len(well), "right file")]
    for good in ("right file", "clear error"):
        kinds = [kind for kind, result in results.items() if result == good and kind not in failed]
        rows.append((f"downloads: {'; '.join(kinds)}", len(kinds), good))
    absent = {kind: result for kind, result in results.items() if result.startswith("cannot be imitated")}
    rows += [(f"downloads: {kind}", 0, why) for kind, why in absent.items()]
    wrong = [kind for kind in results if kind not in absent and results[kind] not in ("right file", "clear error")]
    if wrong:
        rows.append((f"downloads: {'; '.join(wrong)}", len(wrong), "WRONG"))
    return rows, [f"{kind}: {results[kind]}" for kind in wrong]


PARTS = (from_servers, interrupted_twice, two_at_once, full_disk, closed_folder)

if __name__ == "__main__":
    main()
