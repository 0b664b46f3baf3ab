"""Every public function, with one or two arguments spoilt: an answer without new NaN, or an error with a reason.

An answer may not hold NaN or infinity where the arguments held none and the documentation promises none; whether it is
right is for other tests. An error must be of a kind that says "your argument", or one that the function's documentation
names, and have a message. No warning may stand in for an answer, no call may hang, and none may end the interpreter:
each function is tried in a fork of its own, with limits on time and memory. The draws are always the same.

    python tests/hardtimes/fuzz.py [--examples 40] [--seed 0] [--only NAME ...] [--accepted]
"""

import argparse
import contextlib
import faulthandler
import inspect
import io
import json
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # a fork must not inherit threads

import hypothesis
import numpy as np
import torch
import torchvision.datasets  # noqa: F401 -- here, so that no fork need import it
from hypothesis import Phase, strategies
from sklearn.datasets import load_digits  # noqa: F401 -- so, too

from tests.hardtimes import common
from tests.hardtimes.entries import ENTRIES, INNER, RECORDS, missing, public
from tests.hardtimes.strange import describe, holds_nan, spoilt

PACKAGE = str(common.ROOT / "coursekit")
ALLOWED = (ValueError, TypeError, OSError, RuntimeError)
SECONDS = 8  # of the processor, for one call; the slowest right ones take half a second
LONGEST = 150  # by the clock, also for a call that waits: a busy machine may be slow
MEMORY = 6 * 2**30
DEAR = {  # how many arguments to spoil in calls that take long: all of these take their arguments to the same checks
    **{"resnet.resnet50": 4, "resnet.resnet101": 2, "resnet.resnet152": 2, "colorization.stored.load": 2},
    **{"training.fit": 200, "critters.draw": 100, "critters.make": 100, "critters.write_folder": 100},
    **{"figures.curves": 120, "figures.images": 120, "figures.sliding": 60, "figures.overlay": 60},
}
PROMISED = {  # their documentation says when the answer is NaN or infinite
    *("filters.orientation_strength", "colorization.psnr", "colorization.score", "training.History.__getitem__"),
}
OUTCOMES = {
    "answer": "an answer without new NaN or infinity",
    "ours": "an error with a message of the course's own",
    "theirs": "an error that the documentation names, with a message of torch, numpy or Python",
    "unnamed": "another ValueError, TypeError, OSError or RuntimeError, with a message of torch, numpy or Python",
    "memory": "refused by numpy or Python, which name the memory that is not there",
}


LEFT_OUT = f"left out: {len(RECORDS)} that only hold values, and {len(INNER)} that only the package itself calls"


class Hang(BaseException):
    """A call took too long. No ``except Exception`` stops it."""


def _alarm(*_: object) -> None:
    raise Hang


def call(function: Callable, arguments: dict) -> object:
    """Call by name, variable arguments and the object of a method included; go into and out of a context."""
    arguments = dict(arguments)
    owner = (arguments.pop("self"),) if "self" in arguments else ()
    more = arguments.pop("options", {})
    several = next((arguments.pop(name) for name in ("names", "loaders") if _is_variable(function, name)), None)
    if several is None:
        result = function(*owner, **arguments, **more)
    else:
        result = function(*arguments.values(), *several, **more)
    if isinstance(result, contextlib.AbstractContextManager) and hasattr(result, "gen"):
        with result as inside:
            return inside
    return result


def _is_variable(function: Callable, name: str) -> bool:
    parameter = inspect.signature(function).parameters.get(name)
    return parameter is not None and parameter.kind is inspect.Parameter.VAR_POSITIONAL


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """Stop a call that takes too long: Python code by a signal, code in C or a call that waits by the process's end."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(LONGEST, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()


def outcome(name: str, function: Callable, arguments: dict) -> tuple[str, str]:
    """Return one of `OUTCOMES`, or "wrong", and what there is to say about it."""
    had_nan = holds_nan(arguments)
    text = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), limits():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="Glyph")  # a sign that the font lacks: drawn as a box
            result = call(function, arguments)
            if not had_nan and name not in PROMISED and holds_nan(result):
                return "wrong", "NaN or infinity in the answer"
            return "answer", describe(result)
    except Hang:
        return "wrong", f"took more than {SECONDS} s"
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = next((f for f in reversed(frames) if f.filename.startswith(PACKAGE)), frames[-1])
        where = f"{Path(place.filename).name}:{place.lineno}"
        said = f"{type(error).__name__}: {str(error).strip():.90} ({where})".replace("\n", " ")
        named = is_documented(function, error)
        if isinstance(error, MemoryError) and str(error):
            return "memory", said
        if not (isinstance(error, ALLOWED) or named) or isinstance(error, RecursionError):
            return "wrong", said
        if not str(error).strip():
            return "wrong", f"{said} says nothing"
        if frames[-1].filename.startswith(PACKAGE):
            return "ours", said
        return "theirs" if named else "unnamed", said


def is_documented(function: Callable, error: Exception) -> bool:
    """Tell whether a function's documentation names the error, or a kind that it belongs to."""
    named = re.findall(r"\b[A-Z]\w*Error\b", inspect.getdoc(function) or "")
    return any(kind.__name__ in named for kind in type(error).__mro__)


def attack(name: str, examples: int, seed: int, note: Callable[[dict], None]) -> None:
    """Spoil the arguments of a function again and again, and note what comes of it."""
    function, entry = public()[name], ENTRIES[name]
    kind, said = outcome(name, function, entry())
    offline = name.startswith("data.") and "DownloadError" in said  # right: nothing can be fetched here
    if kind not in ("answer",) and not offline:
        note({"outcome": "wrong", "call": f"{name}(as it should be)", "said": said})
    names = [key for key in entry() if key != "self"]
    if not names:
        note({"outcome": kind, "call": f"{name}()", "said": said})
        return

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=min(examples * len(names), DEAR.get(name, 10**6)),
        database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(strategies.data())
    def spoil(data: strategies.DataObject) -> None:
        arguments = entry()
        chosen = [data.draw(strategies.sampled_from(names))]
        if data.draw(strategies.integers(0, 3)) == 3:
            chosen = sorted({*chosen, data.draw(strategies.sampled_from(names))})
        for key in chosen:
            arguments[key] = data.draw(spoilt(key, arguments[key]))
        shown = ", ".join(f"{key}={describe(arguments[key])}" for key in chosen)
        note({"call": f"{name}({shown})"})
        kind, said = outcome(name, function, arguments)
        note({"outcome": kind, "call": f"{name}({shown})", "said": said, "keys": chosen})

    spoil()


@hypothesis.settings(max_examples=1, database=None)
@hypothesis.given(strategies.data())
def warm_up(data: strategies.DataObject) -> None:
    """Let hypothesis do once what takes it half a second, so that no fork need do it again."""
    data.draw(spoilt("x", torch.ones(2)))


def in_a_fork(name: str, examples: int, seed: int) -> list[dict]:
    """Attack a function in a child with little memory, and return its notes; the end of the child is one of them."""
    with tempfile.TemporaryDirectory() as scratch, open(Path(scratch, "notes"), "w+", encoding="utf-8") as notes:
        pid = os.fork()
        if not pid:
            try:
                _prepare(Path(scratch, "work"))
                attack(name, examples, seed, lambda row: print(json.dumps(row), file=notes, flush=True))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        notes.seek(0)
        rows = [json.loads(line) for line in notes]
    if status:
        last = rows[-1]["call"] if rows else f"{name}()"
        rows.append({"outcome": "wrong", "call": last, "said": f"ended the interpreter with {status}"})
    return [row for row in rows if "outcome" in row]


def _prepare(folder: Path) -> None:
    folder.mkdir()
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder), "COURSEKIT_CACHE": str(folder / "cache")}
    os.environ.update(home, http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9", no_proxy="")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _alarm)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)  # noqa: NPY002


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--examples", type=int, default=40, help="spoilt calls for each argument")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", nargs="*", default=[], help="only functions whose name begins so")
    options.add_argument("--accepted", action="store_true", help="print what was accepted, to be read by a person")
    args = options.parse_args()
    wrong = [f"{name} has no entry in tests/hardtimes/entries.py, or no longer exists" for name in missing()]
    counts, functions = Counter(), 0
    warm_up()
    for name in sorted(public().keys() & ENTRIES.keys()):
        if args.only and not name.startswith(tuple(args.only)):
            continue
        functions += 1
        began = time.perf_counter()
        rows = in_a_fork(name, args.examples, args.seed)
        found = Counter(row["outcome"] for row in rows)
        counts += found
        print(f"{name:45} {dict(found)} {time.perf_counter() - began:.1f} s", flush=True)
        troubles = {row["said"]: row["call"] for row in reversed(rows) if row["outcome"] == "wrong"}
        wrong += [f"{shown}: {said}" for said, shown in troubles.items()]
        if args.accepted:
            for row in rows:
                if row["outcome"] in ("answer", "memory"):
                    print(f"  {row['call']} -> {row['said']}")
    left = f"only those that begin with {' or '.join(args.only)}" if args.only else LEFT_OUT
    rows = [("public functions and methods, each tried with spoilt arguments", functions, left)]
    rows += [("calls with spoilt arguments", counts[kind], text) for kind, text in OUTCOMES.items()]
    bad = "calls with another error, a warning, a hang, a crash or a silent NaN"
    rows.append((bad, counts["wrong"], "WRONG" if counts["wrong"] else "none"))
    common.finish(rows, wrong)


if __name__ == "__main__":
    main()
