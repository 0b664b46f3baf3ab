"""Judges one submission: has a worker run its cells, asks for its answers, and runs the checks outside of the walls.

What comes from a worker is never believed: each message has a size and a time, and every text is made printable.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from coursekit.checks.answers import Hint
from coursekit.checks.lab import PUBLIC, Lab
from coursekit.checks.transport import LARGEST
from tools.grading.sandbox import Sandbox, Walls
from tools.grading.submissions import Submission, printable
from tools.grading.worker import send

CONTROL, TEXTS = 64_000, 1_000_000  # bytes of a message: what happened; the texts and lists of an answer
MOST_PROBLEMS = 50
_GRACE = 5.0  # seconds that a worker gets to notice by itself that a time is over
_RESTARTS = 12  # a submission may kill its process so often before what is left is left out
_START = 120.0  # seconds until the libraries are imported, on a busy machine


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell_seconds: float = 150.0
    question_seconds: float = 20.0  # for the check of one question
    seconds: float = 600.0  # for all together
    megabytes: int = 2000  # of memory, beyond the libraries'
    processes: int = 40  # at a time


@dataclass
class Outcome:
    """What a submission reached."""

    verdicts: dict[str, dict] = field(default_factory=dict)  # question to {"state", "text", "points"}
    problems: list[str] = field(default_factory=list)  # cells that failed, limits that were met
    seconds: float = 0.0
    sound: bool = True  # False if the machine failed, or a check, and not the submission


class EndedError(Exception):
    """The worker has gone, or has to be ended; the text says why."""


class GoneError(EndedError):
    """The worker has gone by itself, or was killed by somebody."""


class LateError(EndedError):
    """A message did not come in time."""


class Judge:
    """Judges submissions, one at a time. The checks of all ``labs`` do nothing inside the walls."""

    def __init__(self, labs: Sequence[str], walls: Walls, limits: Limits | None = None) -> None:
        self._labs, self._walls, self._limits = list(labs), walls, limits or Limits()
        self._started: list[Sandbox] = []  # the one at work, the one that is started ahead
        self._closed = False

    def __enter__(self) -> Judge:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """End every sandbox."""
        self.close()

    def close(self) -> None:
        """End every sandbox, also one at work in another thread."""
        self._closed = True
        for sandbox in self._started:
            sandbox.end()

    def judge(self, submission: Submission, lab: Lab, seed: int, *, ahead: bool = False) -> Outcome:
        """Run and judge one submission.

        ``seed`` is for the inputs of the checks, besides those of the instant checks; with ``ahead``, a sandbox for the
        next submission starts meanwhile.
        """
        start, outcome = time.monotonic(), Outcome()
        for question in lab.questions.values():
            if question.check:
                outcome.verdicts[question.name] = {"state": "open", "text": "not reached", "points": 0}
        waiting, skip, suspect = list(outcome.verdicts), set(), None
        for _ in range(_RESTARTS + 1):
            session = Session(self._take(ahead), self._limits, start)
            try:
                session.run(submission.cells, skip, self._labs, outcome)
                while waiting:
                    outcome.verdicts[waiting[0]] = session.judge(lab, waiting[0], seed)
                    waiting.pop(0)
                session.try_again(lab, seed, outcome)
                break
            except EndedError as ended:
                cell, question = session.cell, session.question
                if cell is None and question not in waiting:
                    if not question and suspect is None:
                        suspect = (cell, question)
                        continue
                    if not question:
                        outcome.problems.append(str(ended))
                        outcome.sound = False
                    break
                if isinstance(ended, GoneError) and suspect != (cell, question):
                    suspect = (cell, question)  # once may be the machine's fault: it is run again
                elif cell is not None:
                    skip.add(cell)
                    outcome.problems.append(f"cell {cell + 1}: {ended}; left out")
                else:
                    outcome.verdicts[question] = {"state": "wrong", "text": str(ended), "points": 0}
                    waiting.remove(question)
                if time.monotonic() - start > self._limits.seconds:
                    outcome.problems.append(f"stopped after {self._limits.seconds:.0f} seconds in all")
                    break
            finally:
                self._started.remove(session.sandbox)
                session.sandbox.end()
        else:
            outcome.problems.append(f"its process ended {_RESTARTS + 1} times: what was left is left out")
        outcome.seconds = time.monotonic() - start
        failed = {name: verdict for name, verdict in outcome.verdicts.items() if verdict["state"] == "failed"}
        outcome.problems += [f"{name}: {verdict['text']}" for name, verdict in failed.items()]
        outcome.sound &= not failed
        problems = list(dict.fromkeys(printable(problem) for problem in outcome.problems))
        more = [f"and {len(problems) - MOST_PROBLEMS} more problems"] if len(problems) > MOST_PROBLEMS else []
        outcome.problems = problems[:MOST_PROBLEMS] + more
        return outcome

    def _take(self, ahead: bool) -> Sandbox:
        while len(self._started) < 1 + ahead:
            if self._closed:
                raise InterruptedError("grading was interrupted")
            self._started.append(Sandbox(self._walls))
        return self._started[0]


class Session:
    """One sandbox that runs one submission: its `cell` that runs, or its `question` that is judged."""

    def __init__(self, sandbox: Sandbox, limits: Limits, start: float) -> None:
        self.sandbox, self._limits = sandbox, limits
        self.cell: int | None = None
        self.question = ""
        self._end = start + limits.seconds + _GRACE
        self._base, self._looked = 0, 0.0

    def run(self, cells: Sequence[str], skip: set[int], labs: list[str], outcome: Outcome) -> None:
        """Wait for the worker, then have it run the cells but those to skip."""
        limits, channel = self._limits, self.sandbox.channel
        self._end += _START
        try:
            if not self._news(_START).get("ready"):
                raise EndedError("not graded: the sandbox did not start")
        except GoneError:
            raise EndedError("not graded: the sandbox did not start") from None
        self._end -= _START
        self._base = self.sandbox.kilobytes(self.sandbox.family(limits.processes))
        job = {"cells": list(cells), "skip": sorted(skip), "labs": labs, "seconds": int(limits.seconds)}
        job |= {"cell_seconds": limits.cell_seconds, "question_seconds": limits.question_seconds}
        self._send(channel, json.dumps(job | {"megabytes": limits.megabytes}).encode())
        for _ in range(2 * len(cells) + 2):
            news = self._news(limits.cell_seconds + _GRACE)
            if news.get("finished"):
                self.cell = None
                return
            if (number := news.get("begun", news.get("cell"))) not in range(len(cells)):
                raise EndedError("the process sends what no cell says")
            self.cell = int(number)
            if "error" in news:
                outcome.problems.append(f"cell {self.cell + 1}: {news['error']}")
        raise EndedError("the process sends more than its cells say")

    def judge(self, lab: Lab, name: str, seed: int, how: bytes = b"fork") -> dict:
        """Judge one question: with the instant check's inputs first, then with others."""
        self.question = name
        ours, theirs = socket.socketpair()
        limit = self._limits.question_seconds
        end = time.monotonic() + limit + _GRACE

        def ask(request: bytes) -> bytes:
            try:
                self._send(ours, request)
                reply = self._receive(ours, LARGEST + TEXTS, end - time.monotonic())
            except EndedError as ended:
                here = how != b"fork" or not isinstance(ended, GoneError | LateError)
                if here or self.sandbox.has_ended() or time.monotonic() > self._end:
                    raise
                late = time.monotonic() > end - _GRACE
                stopped = f"the check was stopped after {limit:g} seconds."
                raise Hint(stopped if late else "your code ends the process: it crashes, or exits.") from None
            if len(reply) >= 8 and struct.unpack("<Q", reply[:8])[0] > TEXTS:
                raise Hint("the answer is too large: it holds long lists or texts; put many numbers into an array.")
            return reply

        with ours:
            with theirs, contextlib.suppress(OSError):  # if it has gone, the first request tells
                socket.send_fds(self.sandbox.channel, [how], [theirs.fileno()])
            for number, chosen in enumerate((PUBLIC, (seed, 1), (seed, 2))):
                try:
                    verdict = lab.judge(name, ask, chosen)
                except EndedError:
                    raise
                except Exception as error:
                    text = printable(f"the check failed: {type(error).__name__}: {error}", 500)
                    return {"state": "failed", "text": text, "points": 0}
                if verdict.state != "right":
                    text = "right for the instant check, not for others: " * (number > 0) + verdict.text
                    return {"state": verdict.state, "text": printable(text, 500), "points": 0}
        self.question = ""
        return {"state": "right", "text": "", "points": lab.questions[name].points}

    def try_again(self, lab: Lab, seed: int, outcome: Outcome) -> None:
        """Judge what is wrong once more without a fork: threads, and what a loader started, do not survive one."""
        for name, verdict in outcome.verdicts.items():
            if verdict["state"] == "wrong" and ("stop" in verdict["text"] or "ends the process" in verdict["text"]):
                again = self.judge(lab, name, seed, b"here")
                if again["state"] == "right":
                    outcome.verdicts[name] = again

    def _news(self, seconds: float) -> dict:
        data = self._receive(self.sandbox.channel, CONTROL, seconds)
        try:
            news = json.loads(data)
        except (ValueError, RecursionError):
            news = None
        if not isinstance(news, dict):
            raise EndedError("the process sends what no cell says")
        return news

    @staticmethod
    def _send(channel: socket.socket, data: bytes) -> None:
        channel.settimeout(30)
        try:
            send(channel, data)
        except OSError:
            raise GoneError("the process ended") from None

    def _receive(self, channel: socket.socket, most: int, seconds: float) -> bytes:
        """Wait for a whole message; meanwhile look after memory, processes and time."""
        end = min(time.monotonic() + seconds, self._end)
        data, wanted = bytearray(), 8
        while len(data) < wanted:
            self._look_after()
            if time.monotonic() > end:
                raise LateError("took too long, and could not be interrupted")
            if not select.select([channel], [], [], 0.1)[0]:
                continue
            try:
                part = channel.recv(min(wanted - len(data), 1 << 20))
            except OSError:
                part = b""
            if not part:
                raise GoneError("the process ended")
            data += part
            if wanted == 8 and len(data) == 8:
                wanted += struct.unpack("<Q", data)[0]
                if wanted - 8 > most:
                    raise EndedError("the process sends a message that is too large")
        return bytes(data[8:])

    def _look_after(self) -> None:
        if time.monotonic() - self._looked < 0.1 or not self._base:
            return
        self._looked = time.monotonic()
        family = self.sandbox.family(self._limits.processes)
        if len(family) > self._limits.processes:
            raise EndedError(f"started more than {self._limits.processes} processes")
        most = self._base + 1.5 * self._limits.megabytes * 1024
        if self.sandbox.kilobytes(family) > most and self.sandbox.kilobytes(family, exact=True) > most:
            raise EndedError(f"took more than {self._limits.megabytes} MB of memory")
