"""What the scripts share: the result they print, and children in other surroundings."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def finish(rows: list[tuple[str, int, str]], wrong: list[str]) -> None:
    """Print a table, then one JSON object; leave with exit code 1 if anything went wrong.

    A row says what was done, how often, and what happened.
    """
    for what, number, outcome in rows:
        print(f"{number:6}  {what}: {outcome}")
    for line in wrong:
        print(f"WRONG   {line}")
    print(json.dumps({"rows": rows, "wrong": wrong}))
    sys.exit(bool(wrong))


def environment(**more: str) -> dict[str, str]:
    """Return the environment for a child: one thread, no bars, and this repository's package."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT), "no_proxy": "*", **more}


def child(script: str, *arguments: object, prefix: tuple[str, ...] = (), **options) -> subprocess.CompletedProcess:
    """Run a script with arguments in another process, and return what it printed and how it ended.

    Parameters
    ----------
    script : str
        A file.
    *arguments
        Turned into text.
    prefix : tuple of str
        The beginning of the command, such as what `mounted` or `obedient` returns.
    **options
        For `subprocess.run`, such as ``env`` and ``timeout``.
    """
    command = [*prefix, sys.executable, "-X", "faulthandler", script, *map(str, arguments)]
    options = {"env": environment(), "timeout": 300, **options}
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def mounted(*mounts: str) -> tuple[str, ...] | None:
    """Return the beginning of a command that runs in a file system of its own, after these calls of ``mount``.

    None where this system does not allow that: it takes Linux, and `unshare` with user namespaces.
    """
    inside = ("unshare", "--user", "--map-root-user", "--mount")
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        return None
    return *inside, "sh", "-c", " && ".join([*(f"mount {mount}" for mount in mounts), 'exec "$@"']), "sh"


def obedient() -> tuple[str, ...] | None:
    """Return the beginning of a command that permissions stop: where this is a superuser, without the right to pass.

    None where this system has no `setpriv`.
    """
    if not hasattr(os, "geteuid") or os.geteuid():
        return ()
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if shutil.which("setpriv") else None
