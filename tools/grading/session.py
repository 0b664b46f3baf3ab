"""The judge's side of one process that runs one submission: talks to it, looks after it, ends it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from tools.grading.worker import receive, send
from coursekit.checks.answers import Hint
from coursekit.checks.lab import PUBLIC, Lab

_GRACE = 5.0  # seconds that a worker gets to notice by itself that a time is over


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes
    ----------
    cell_seconds, question_seconds, seconds : float
        For one cell, for the check of one question, for all together.
    megabytes : int
        Of memory, beyond the libraries'.
    processes : int
        At a time.
    """

    cell_seconds: float = 150.0
    question_seconds: float = 20.0
    seconds: float = 600.0
    megabytes: int = 2000
    processes: int = 30


@dataclass
class Outcome:
    """What a submission reached.

    Attributes
    ----------
    verdicts : dict
        Question to ``{"state", "text", "points"}``.
    problems : list of str
        What the lecturer should know: cells that failed, limits that were met.
    seconds : float
    unconfined : str
        Empty if the kernel's layer of protection was in force, else why not.
    """

    verdicts: dict[str, dict] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    unconfined: str = ""


class EndedError(Exception):
    """The worker's process has gone, or had to be killed; the text says why."""


class Session:
    """One process that runs one submission."""

    def __init__(self, channel: socket.socket, number: int, limits: Limits, start: float) -> None:
        self._limits, self._start = limits, start
        self.cell: int | None = None
        self.question = ""
        self._channel = channel
        self._process = psutil.Process(number)
        self._base = self._process.memory_info().rss

    def begin(self) -> str:
        """Wait until the process is confined; return why it is not fully so, or an empty text."""
        return json.loads(self._receive(self._channel, 30))["unconfined"]

    def run(self, cells: Sequence[str], skip: set[int], outcome: Outcome) -> None:
        """Run the cells; ``self.cell`` is the one that runs."""
        send(self._channel, json.dumps({"cells": list(cells), "skip": sorted(skip)}).encode())
        while True:
            news = json.loads(self._receive(self._channel, self._limits.cell_seconds + _GRACE))
            if "finished" in news:
                self.cell = None
                return
            if "begun" in news:
                self.cell = int(news["begun"])
            else:
                outcome.problems.append(f"cell {int(news['cell']) + 1}: {str(news['error'])[:500]}")

    def judge(self, lab: Lab, name: str, seed: int) -> dict:
        """Judge one question: with the instant check's inputs first, then with others."""
        self.question = name
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(self._channel, [b"question"], [theirs.fileno()])
            end = time.monotonic() + self._limits.question_seconds + _GRACE

            def ask(request: bytes) -> bytes:
                try:
                    send(ours, request)
                    return self._receive(ours, end - time.monotonic())
                except (EOFError, OSError):
                    over = time.monotonic() > end - _GRACE
                    raise Hint(
                        f"the check was stopped after {self._limits.question_seconds:.0f} seconds."
                        if over
                        else "your code ends the process: it crashes, exits, or takes too much memory."
                    ) from None

            verdict, seeds = None, (PUBLIC, (seed, 1), (seed, 2))
            for number, chosen in enumerate(seeds):
                try:
                    verdict = lab.judge(name, ask, chosen)
                except Exception as error:
                    if isinstance(error, EndedError):
                        raise
                    return {"state": "failed", "text": f"{type(error).__name__}: {error}"[:500], "points": 0}
                if verdict.state != "right":
                    text = (
                        verdict.text if number == 0 else f"right for the instant check, not for others: {verdict.text}"
                    )
                    return {"state": verdict.state, "text": text, "points": 0}
        self.question = ""
        return {"state": "right", "text": "", "points": lab.questions[name].points}

    def end(self) -> None:
        """Kill the process and all that it started."""
        self._channel.close()
        for _ in range(20):
            family = _family(self._process)
            for process in family:
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except OSError:
                    continue
            _, alive = psutil.wait_procs(family, timeout=0.5)
            if not alive:
                return

    def _receive(self, channel: socket.socket, seconds: float) -> bytes:
        """Wait for a message; meanwhile look after memory, processes and time."""
        end = min(time.monotonic() + seconds, self._start + self._limits.seconds + _GRACE)
        channel.settimeout(_GRACE)  # once a message has begun
        while not select.select([channel], [], [], 0.1)[0]:
            if time.monotonic() > end:
                raise EndedError("took too long, and could not be interrupted")
            self._look_after()
        return receive(channel)

    def _look_after(self) -> None:
        family = _family(self._process)
        if len(family) > self._limits.processes:
            raise EndedError(f"started more than {self._limits.processes} processes")
        used = 0
        for process in family:
            try:
                used += max(0, process.memory_info().rss - self._base)
            except psutil.Error:
                continue
        if used > 1.5 * self._limits.megabytes * 2**20:
            raise EndedError(f"took more than {self._limits.megabytes} MB of memory")


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
