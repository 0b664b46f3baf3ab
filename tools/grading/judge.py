"""Judges one submission: has a worker run its cells, asks for its answers, and runs the checks outside of the walls.

What comes from a worker is never believed: each message has a size and a time, and every text is made printable.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict

from coursekit.checks.answers import Hint
from coursekit.checks.lab import PUBLIC, Lab
from coursekit.checks.transport import LARGEST
from tools.grading.sandbox import GONE, EndedError, Limits, Sandbox, Walls
from tools.grading.submissions import Outcome, printable

CONTROL = 64_000  # bytes of a message that says what happened
MOST_PROBLEMS = 50
_GRACE = 5.0  # seconds that a worker gets to notice by itself that a time is over
_STARTS = 13  # a submission may end its process so often before what is left is left out
_ODD = "the process sends what no cell says"


def _verdict(state: str, text: str, points: int = 0) -> dict:
    return {"state": state, "text": printable(text, 900, lines=True), "points": points}


class Judge:
    """Judges submissions, in any number of threads, until `stop` is set."""

    def __init__(self, walls: Walls, limits: Limits | None = None) -> None:
        self._walls, self.limits = walls, limits or Limits()
        self.stop = threading.Event()

    def judge(self, cells: Sequence[str], lab: Lab, seed: int) -> Outcome:
        """Run the cells of a notebook and judge its answers; ``seed`` is for the inputs of the checks.

        Each question is first asked in a process of its own, in which everything is as the notebook has left it. What
        is not right there is asked again in the notebook's process, after all others. `stop` ends it with an
        InterruptedError.
        """
        start, limits = time.monotonic(), self.limits
        names = [question.name for question in lab.questions.values() if question.check]
        outcome = Outcome({name: _verdict("open", "not reached") for name in names})
        waiting, left_out, again = list(names), set(), set()
        for _ in range(_STARTS):
            with closing(Sandbox(self._walls, limits, self.stop)) as sandbox:
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
                    with suppress(Exception):  # nobody loses points by them
                        outcome.guesses = session.guesses()
                    break
                except EndedError as ended:
                    step, why = session.step, str(ended)
            if self.stop.is_set():
                raise InterruptedError("grading was interrupted")
            if not step:
                outcome.problems.append(f"not graded: the sandbox did not start ({why})")
                outcome.sound = False
                break
            if step not in again and (why == GONE or step in waiting):
                again.add(step)  # once may be the machine's fault
            elif step in waiting:
                outcome.verdicts[step] = _verdict("wrong", why)
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
        outcome.problems = list(dict.fromkeys(printable(problem) for problem in outcome.problems))
        if (more := len(outcome.problems) - MOST_PROBLEMS) > 0:
            outcome.problems[MOST_PROBLEMS:] = [f"and {more} more problems"]
        return outcome


class Session:
    """One sandbox that runs one submission; `step` is the cell that runs, or the question that is judged."""

    def __init__(self, sandbox: Sandbox, limits: Limits, lab: Lab, start: float) -> None:
        self._sandbox, self._limits, self._lab = sandbox, limits, lab
        self.step = ""
        self._end = start + limits.seconds

    def run(self, cells: Sequence[str], left_out: set[str], problems: list[str]) -> None:
        """Wait for the worker, then have it run the cells, and note what fails in them."""
        limits = self._limits
        self._news()
        self._sandbox.watch_memory()
        self._order(**asdict(limits))
        for number, source in enumerate(cells, 1):
            if (cell := f"cell {number}") in left_out:
                continue
            self.step = cell
            self._allow(limits.cell_seconds)
            self._order(cell=source)
            while "done" in (news := self._news()):
                known, deadline = self._lab.find(news["done"]), self._sandbox.deadline
                verdict = self._ask(known.name if known and known.check else "", (PUBLIC,), apart=True)
                self._order(right=verdict["state"] == "right")
                self._sandbox.deadline = deadline
            if "error" not in news:
                raise EndedError(_ODD)
            if news["error"]:
                problems.append(f"{cell}: {news['error']}")

    def judge(self, name: str, seed: int, apart: bool) -> dict:
        """Judge a question with the instant check's inputs first, then with others."""
        self.step = name
        return self._ask(name, (PUBLIC, (seed, 1), (seed, 2)), apart)

    def guesses(self) -> dict[str, object]:
        """Read what was guessed before the experiments."""
        self._allow(self._limits.question_seconds)
        self._order(apart=True)
        found = self._lab.guesses(self._reply)
        self._sandbox.send(b"")
        return found

    def _ask(self, name: str, seeds: Sequence, apart: bool) -> dict:
        """Have a question judged, ``apart`` or in the notebook's own process; without a name, it is wrong."""
        self._allow(self._limits.question_seconds)
        self._order(apart=apart)
        verdict = self._check(name, seeds) if name else _verdict("wrong", "there is no such question")
        self._sandbox.send(b"")
        return verdict

    def _check(self, name: str, seeds: Sequence) -> dict:
        for number, chosen in enumerate(seeds):
            try:
                verdict = self._lab.judge(name, self._reply, chosen)
            except EndedError:
                raise
            except Exception as error:
                return _verdict("failed", f"the check failed: {type(error).__name__}: {error}")
            if verdict.state != "right":
                text = "right for the instant check, not for others: " * (number > 0) + verdict.text
                return _verdict(verdict.state, text)
        return _verdict("right", "", self._lab.questions[name].points)

    def _reply(self, request: bytes) -> bytes:
        self._sandbox.send(request)
        if reply := self._sandbox.receive(LARGEST + 8):
            return reply
        raise Hint(GONE)

    def _allow(self, seconds: float) -> None:
        """Give what comes next its time, within that of all together."""
        self._sandbox.deadline = min(time.monotonic() + seconds, self._end) + _GRACE

    def _order(self, **order: object) -> None:
        self._sandbox.send(json.dumps(order).encode())

    def _news(self) -> dict:
        with suppress(ValueError, RecursionError):
            news = json.loads(self._sandbox.receive(CONTROL))
            if isinstance(news, dict):
                return news
        raise EndedError(_ODD)
