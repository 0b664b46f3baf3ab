"""Judges one submission: has a worker run its cells, asks for its answers, and runs the checks outside of the walls.

What comes from a worker is never believed: each message has a size and a time, and every text is made printable.
"""

from __future__ import annotations

import json
import select
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from coursekit.checks.answers import Hint
from coursekit.checks.lab import PUBLIC, Lab
from coursekit.checks.transport import LARGEST
from tools.grading.sandbox import Sandbox, Walls
from tools.grading.submissions import Outcome, printable

CONTROL, TEXTS = 64_000, 1_000_000  # bytes of a message: what happened; the texts and lists of an answer
MOST_PROBLEMS = 50
_GRACE = 5.0  # seconds that a worker gets to notice by itself that a time is over
_STARTS = 13  # a submission may end its process so often before what is left is left out
_START = 120.0  # seconds until the libraries are imported, on a busy machine
_SHARING = 8  # processes that are taken to share the libraries' memory
_ODD = "the process sends what no cell says"


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell_seconds: float = 150.0
    question_seconds: float = 20.0  # for the check of one question
    seconds: float = 600.0  # for all together
    megabytes: int = 2000  # of memory, beyond the libraries'
    processes: int = 40  # at a time


class EndedError(Exception):
    """The worker has to be ended; the text says why."""


class GoneError(EndedError):
    """The worker has gone by itself, or was killed by somebody."""


class _ChildDiedError(EndedError):
    """The process of a question has gone; the worker itself is still there."""


def _wrong(text: str) -> dict:
    return {"state": "wrong", "text": text, "points": 0}


class Judge:
    """Judges submissions, in any number of threads."""

    def __init__(self, walls: Walls, limits: Limits | None = None) -> None:
        self._walls, self._limits = walls, limits or Limits()
        self._at_work: set[Sandbox] = set()
        self._closed = False

    def close(self) -> None:
        """End every sandbox, also those at work in other threads, and start no more."""
        self._closed = True
        for sandbox in self._at_work.copy():
            sandbox.kill()

    @contextmanager
    def _sandbox(self) -> Iterator[Sandbox]:
        if self._closed:
            raise InterruptedError("grading was interrupted")
        sandbox = Sandbox(self._walls)
        self._at_work.add(sandbox)
        try:
            if self._closed:  # meanwhile
                sandbox.kill()
            yield sandbox
        finally:
            sandbox.end()
            self._at_work.discard(sandbox)

    def judge(self, cells: Sequence[str], lab: Lab, seed: int) -> Outcome:
        """Run the cells of a notebook and judge its answers; ``seed`` is for the inputs of the checks.

        Each question is first asked in a process of its own, in which everything is as the notebook has left it. What
        is not right there is asked again in the notebook's process, after all others.
        """
        start, limits = time.monotonic(), self._limits
        names = [question.name for question in lab.questions.values() if question.check]
        outcome = Outcome({name: {"state": "open", "text": "not reached", "points": 0} for name in names})
        waiting, left_out, again = list(names), set(), set()
        for _ in range(_STARTS):
            with self._sandbox() as sandbox:
                session = Session(sandbox, limits, lab, start)
                try:
                    session.run(cells, left_out, outcome.problems)
                    for apart in (True, False):
                        for name in [name for name in waiting if (name not in again) == apart]:
                            outcome.verdicts[name] = verdict = session.judge(name, seed, apart)
                            if apart and verdict["state"] in ("wrong", "failed"):
                                again.add(name)
                            else:
                                waiting.remove(name)
                    with suppress(EndedError):
                        outcome.guesses = session.guesses()
                    break
                except EndedError as ended:
                    step, why, gone = session.step, str(ended), isinstance(ended, GoneError)
            if not step:
                outcome.problems.append(f"not graded: the sandbox did not start ({why})")
                outcome.sound = False
                break
            if step not in again and (gone or step in waiting):
                again.add(step)  # once may be the machine's fault
            elif step in waiting:
                outcome.verdicts[step] = _wrong(why)
                waiting.remove(step)
            else:
                outcome.problems.append(f"{step}: {why}; left out")
                left_out.add(step)
            if time.monotonic() - start > limits.seconds:
                outcome.problems.append(f"stopped after {limits.seconds:.0f} seconds in all")
                break
        else:
            outcome.problems.append(f"its process ended {_STARTS} times: what was left is left out")
        outcome.seconds = time.monotonic() - start
        failed = [name for name in names if outcome.verdicts[name]["state"] == "failed"]
        outcome.problems += [f"{name}: {outcome.verdicts[name]['text']}" for name in failed]
        outcome.sound &= not failed
        problems = list(dict.fromkeys(printable(problem) for problem in outcome.problems))
        more = [f"and {len(problems) - MOST_PROBLEMS} more problems"] if len(problems) > MOST_PROBLEMS else []
        outcome.problems = problems[:MOST_PROBLEMS] + more
        return outcome


class Session:
    """One sandbox that runs one submission; `step` is the cell that runs, or the question that is judged."""

    def __init__(self, sandbox: Sandbox, limits: Limits, lab: Lab, start: float) -> None:
        self._sandbox, self._limits, self._lab = sandbox, limits, lab
        self.step = ""
        self._end = start + limits.seconds + _START
        self._base, self._looked = 0, 0.0

    def run(self, cells: Sequence[str], left_out: set[str], problems: list[str]) -> None:
        """Wait for the worker, then have it run the cells, and note what fails in them."""
        limits = self._limits
        self._news(time.monotonic() + _START)
        self._end += _GRACE - _START
        _, self._base = self._sandbox.use(limits.processes)
        job = {"seconds": int(limits.seconds), "megabytes": limits.megabytes}
        self._order(**job, cell_seconds=limits.cell_seconds, question_seconds=limits.question_seconds)
        for number, source in enumerate(cells, 1):
            if (cell := f"cell {number}") in left_out:
                continue
            self.step, end = cell, time.monotonic() + limits.cell_seconds + _GRACE
            self._order(cell=source)
            while "done" in (news := self._news(end)):
                known = self._lab.find(news["done"])
                self._ask(known.name if known and known.check else "", (PUBLIC,), apart=True)
            if "error" not in news:
                raise EndedError(_ODD)
            if news["error"]:
                problems.append(f"{cell}: {news['error']}")

    def judge(self, name: str, seed: int, apart: bool) -> dict:
        """Judge a question with the instant check's inputs first, then with others."""
        self.step = name
        return self._ask(name, (PUBLIC, (seed, 1), (seed, 2)), apart)

    def _ask(self, name: str, seeds: Sequence, apart: bool) -> dict:
        """Have a question judged, ``apart`` or in the notebook's own process; without a name, it is wrong."""
        self._order(apart=apart)
        try:
            verdict = self._verdict(name, seeds) if name else _wrong("there is no such question")
        except _ChildDiedError as died:
            verdict = _wrong(str(died))
        self._send(b"right" if verdict["state"] == "right" else b"wrong")
        return verdict

    def guesses(self) -> dict[str, object]:
        """Read what was guessed before the experiments."""
        self._order(apart=True)
        found = self._lab.guesses(self._asking())
        self._send(b"wrong")
        return found

    def _asking(self) -> Callable[[bytes], bytes]:
        """Return the function through which a check asks for answers; all of it has to be over in time."""
        end = time.monotonic() + self._limits.question_seconds + _GRACE

        def ask(request: bytes) -> bytes:
            self._sandbox.share()
            self._send(request)
            reply = self._receive(LARGEST + TEXTS, end)
            if not reply:
                raise _ChildDiedError("the process ended")
            if len(reply) >= 8 and struct.unpack("<Q", reply[:8])[0] > TEXTS:
                raise Hint("the answer is too large: it holds long lists or texts; put many numbers into an array.")
            return reply

        return ask

    def _verdict(self, name: str, seeds: Sequence) -> dict:
        ask = self._asking()
        for number, chosen in enumerate(seeds):
            try:
                verdict = self._lab.judge(name, ask, chosen)
            except EndedError:
                raise
            except Exception as error:
                text = printable(f"the check failed: {type(error).__name__}: {error}", 500)
                return {"state": "failed", "text": text, "points": 0}
            if verdict.state != "right":
                text = "right for the instant check, not for others: " * (number > 0) + verdict.text
                return {"state": verdict.state, "text": printable(text, 900, lines=True), "points": 0}
        return {"state": "right", "text": "", "points": self._lab.questions[name].points}

    def _order(self, **order: object) -> None:
        self._send(json.dumps(order).encode())

    def _news(self, end: float) -> dict:
        try:
            news = json.loads(self._receive(CONTROL, end))
        except (ValueError, RecursionError):
            news = None
        if not isinstance(news, dict):
            raise EndedError(_ODD)
        return news

    def _send(self, data: bytes) -> None:
        """Send a message as `multiprocessing.connection` does: its length in four bytes, then its bytes."""
        self._sandbox.channel.settimeout(30)
        try:
            self._sandbox.channel.sendall(struct.pack("!i", len(data)) + data)
        except OSError:
            raise GoneError("the process ended") from None

    def _receive(self, most: int, end: float) -> bytes:
        """Wait for a whole message; meanwhile look after memory, processes and time."""
        data, wanted = bytearray(), 4
        while len(data) < wanted:
            self._look_after()
            if time.monotonic() > min(end, self._end):
                raise EndedError("the process took too long, and could not be interrupted")
            try:
                if not select.select([self._sandbox.channel], [], [], 0.1)[0]:
                    continue
                part = self._sandbox.channel.recv(min(wanted - len(data), 1 << 20))
            except OSError:
                part = b""
            if not part:
                raise GoneError("the process ended")
            data += part
            if wanted == len(data) == 4:
                (length,) = struct.unpack("!i", data)
                if not 0 <= length <= most:
                    raise EndedError("the process sends a message that is too large")
                wanted += length
        return bytes(data[4:])

    def _look_after(self) -> None:
        if time.monotonic() - self._looked < 0.1 or not self._base:
            return
        self._looked = time.monotonic()
        processes, kilobytes = self._sandbox.use(self._limits.processes)
        if processes > self._limits.processes:
            raise EndedError(f"the process started more than {self._limits.processes} others")
        if kilobytes > self._base * min(processes, _SHARING) + 1500 * self._limits.megabytes:
            raise EndedError(f"the process took more than {self._limits.megabytes} MB of memory")
