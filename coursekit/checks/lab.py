"""A lab: its questions, the instant check, and the progress table.

A question is a plain function. Its parameters are the names of the variables that it looks at in the student's
notebook, and ``rng``, if it makes up inputs: their one source. It raises a `Hint` if the answer is wrong and is silent
if it is right. A student's instant check runs it with one seed, grading with others.
"""

from __future__ import annotations

import inspect
import random
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from coursekit.checks.answers import Ask, Hint, NotAnsweredError, fetch
from coursekit.checks.holder import Holder

PUBLIC = 0  # the seed of the instant checks
HIDDEN = (1, 2)  # the seeds of otter's hidden tests; `make grade` takes others, new ones for each class


@dataclass(frozen=True)
class Question:
    """One question of a lab.

    Attributes
    ----------
    name : str
        Such as ``"q1"``.
    title : str
        A few words, for tables.
    points : int
    check : callable or None
        None for a question that a person marks.
    """

    name: str
    title: str
    points: int
    check: Callable | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """The names that the check looks at in the notebook."""
        return tuple(name for name in inspect.signature(self.check).parameters if name != "rng") if self.check else ()

    @property
    def draws(self) -> bool:
        """Whether the check makes up inputs."""
        return "rng" in inspect.signature(self.check).parameters


@dataclass(frozen=True)
class Verdict:
    """What came out of a check.

    Attributes
    ----------
    state : {"right", "wrong", "open", "failed"}
        ``"open"`` is not answered yet; ``"failed"`` is a fault of the check's own.
    text : str
        The hint, or what is missing.
    """

    state: str
    text: str = ""


class Lab:
    """Questions in their order, and what one can do with them.

    Parameters
    ----------
    name : str
        Such as ``"lab01"``.
    title : str
    """

    def __init__(self, name: str, title: str) -> None:
        self.name, self.title = name, title
        self.questions: dict[str, Question] = {}

    def question(self, title: str, *, points: int) -> Callable:
        """Make a function the check of a question; the function's name is the question's."""

        def add(check: Callable) -> Callable:
            self._add(Question(check.__name__, title, points, check))
            return check

        return add

    def written(self, name: str, title: str, *, points: int) -> None:
        """Add a question that a person marks."""
        self._add(Question(name, title, points))

    def _add(self, question: Question) -> None:
        if question.name in self.questions:
            raise ValueError(f"{self.name} has two questions {question.name!r}: give each a name of its own.")
        self.questions[question.name] = question

    def judge(self, name: str, ask: Ask, seed: int | tuple[int, ...] = PUBLIC) -> Verdict:
        """Run one check on answers that are reached through ``ask``.

        Parameters
        ----------
        name : str
            Of a question that is not marked by hand.
        ask : callable
            Carries requests to a `coursekit.checks.holder.Holder`.
        seed : int or tuple of int
            For the inputs that the check makes up.

        Raises
        ------
        ValueError
            If there is no question of that name, or if a person marks it.
        """
        question = self.questions.get(str(name))
        if question is None or question.check is None:
            checked = ", ".join(known.name for known in self.questions.values() if known.check)
            why = f"there is no question {name!r}" if question is None else f"a person marks {name!r}"
            raise ValueError(f"{self.name}: {why}. These are checked: {checked}.")
        rng = np.random.default_rng([*np.atleast_1d(seed), zlib.crc32(question.name.encode())])
        try:
            answers = {variable: fetch(ask, variable) for variable in question.variables}
            question.check(**answers, **({"rng": rng} if question.draws else {}))
        except Hint as hint:
            return Verdict("wrong", str(hint))
        except NotAnsweredError as missing:
            return Verdict("open", str(missing))
        return Verdict("right")

    # What a student calls -------------------------------------------------------------------------------------------

    def check(self, name: str, namespace: Mapping[str, object] | None = None) -> None:
        """Say whether the answer to a question is right, what is wrong with it, or that it is missing.

        Never raises. Draws nothing from numpy's or torch's random numbers.

        Parameters
        ----------
        name : str
            Such as ``"q1"``.
        namespace : mapping, optional
            Where the answers are; without it, the variables of the caller's notebook.
        """
        namespace = sys._getframe(1).f_globals if namespace is None else namespace
        if (question := self.questions.get(str(name))) is None:
            print(f"There is no question {name!r}; there are {', '.join(self.questions)}.")
        elif question.check is None:
            print(f"{name}  your teacher reads this answer.")
        else:
            verdict = self._judge_here(name, namespace)
            print(f"{name}  {_SAYS[verdict.state]}{verdict.text}")

    def done(self, name: str, namespace: Mapping[str, object] | None = None) -> bool:
        """Tell whether a question is answered rightly: for cells that show what an answer can do."""
        namespace = sys._getframe(1).f_globals if namespace is None else namespace
        right = self._judge_here(name, namespace).state == "right"
        if not right:
            print(f"This cell shows something as soon as {name} is right.")
        return right

    def progress(self, namespace: Mapping[str, object] | None = None) -> None:
        """Print which questions are right by now, and how many points that is."""
        namespace = sys._getframe(1).f_globals if namespace is None else namespace
        reached = 0
        for question in self.questions.values():
            state = self._judge_here(question.name, namespace).state if question.check else "by hand"
            reached += question.points * (state == "right")
            print(f"{question.name:4s} {question.title:45s} {question.points} points   {_SHORT[state]}")
        checked = sum(question.points for question in self.questions.values() if question.check)
        rest = sum(question.points for question in self.questions.values()) - checked
        print(f"{reached} of {checked} points" + (f", and {rest} for what your teacher reads" if rest else ""))

    def test(self, name: str, namespace: Mapping[str, object], *, hidden: bool = False) -> None:
        """Raise a `Hint` unless the answer is right: the form that otter's test cells use.

        Parameters
        ----------
        name : str
        namespace : mapping
            ``globals()`` of the notebook.
        hidden : bool
            With the inputs of the hidden tests instead of those of the instant check.

        Raises
        ------
        Hint
            If the answer is wrong or missing.
        ValueError
            If there is no question of that name, or if a person marks it.
        """
        for seed in HIDDEN if hidden else (PUBLIC,):
            with _undisturbed():
                verdict = self.judge(name, Holder(namespace).serve, seed)
            if verdict.state != "right":
                raise Hint(verdict.text)

    def _judge_here(self, name: str, namespace: Mapping[str, object]) -> Verdict:
        try:
            with _undisturbed():
                return self.judge(name, Holder(namespace).serve)
        except Exception as error:
            return Verdict("failed", f"({type(error).__name__}: {error}). Please tell your teacher.")


_SAYS = {
    "right": "right",
    "wrong": "not yet: ",
    "open": "not answered yet: ",
    "failed": "the check itself failed ",
}
_SHORT = {
    "right": "right",
    "wrong": "not yet",
    "open": "-",
    "failed": "check failed",
    "by hand": "read by your teacher",
}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave random numbers and torch's settings as they were, whatever a student's function does to them."""
    torch = sys.modules.get("torch")
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 -- the global generator is what is kept
    if torch:
        draws, dtype, grad = torch.random.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if torch:
            torch.random.set_rng_state(draws)
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(grad)
