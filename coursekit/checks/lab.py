"""A lab: its questions, the instant check, and the progress table.

A question is a plain function. Its parameters are the names of the variables that it looks at in the student's
notebook, and ``rng``, if it makes up inputs: their one source. A parameter annotated `Function`, `Module` or `Chart`
must be one. The function raises a `Hint` if the answer is wrong and is silent if it is right. A student's instant check
runs it with one seed, grading with others.
"""

import inspect
import random
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from coursekit.checks import compare
from coursekit.checks.answers import Ask, Hint, NotAnsweredError, fetch
from coursekit.checks.server import AnswerServer
from coursekit.checks.transport import as_numpy

PUBLIC = 0  # the seed of the instant checks
HIDDEN = (1, 2)  # the seeds of otter's hidden tests; `make grade` takes others, new ones for each class


@dataclass(frozen=True)
class Question:
    """One question of a lab: its name (such as ``"q1"``), title, points, and check (None if a person marks it).

    ``steps`` are hints, each of which says more than the one before; ``truth`` answers the question's *Predict*.
    """

    name: str
    title: str
    points: int
    check: Callable | None = None
    steps: tuple[str, ...] = ()
    truth: str = ""


@dataclass(frozen=True)
class Verdict:
    """What came out of a check: "right", "wrong", "open", "by hand", or "failed" (the check itself)."""

    state: str
    text: str = ""  # the hint, or what is missing


class Lab:
    """Questions in their order, and what one can do with them; ``name`` is such as ``"lab01"``."""

    def __init__(self, name: str, title: str) -> None:
        self.name, self.title = name, title
        self.questions: dict[str, Question] = {}
        self._shown: dict[str, int] = {}  # question to number of hints

    def question(self, title: str, *steps: str, points: int, truth: str = "") -> Callable:
        """Make a function the check of a question, with hints in steps; the function's name is the question's."""

        def add(check: Callable) -> Callable:
            self._add(Question(check.__name__, title, points, check, steps, truth))
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
        """Run one check on answers that are reached through ``ask``, with inputs drawn from ``seed``.

        Raises
        ------
        ValueError
            If there is no question of that name, or if a person marks it.
        """
        question = self.find(name)
        if question is None or question.check is None:
            checked = ", ".join(known.name for known in self.questions.values() if known.check)
            why = f"there is no question {name!r}" if question is None else f"a person marks {name!r}"
            raise ValueError(f"{self.name}: {why}. These are checked: {checked}.")
        wanted = dict(inspect.signature(question.check, eval_str=True).parameters)
        rng = np.random.default_rng([*np.atleast_1d(seed), zlib.crc32(question.name.encode())])
        inputs = {"rng": rng} if wanted.pop("rng", None) else {}
        try:
            answers = {variable: fetch(ask, variable) for variable in wanted}
            for variable, answer in answers.items():
                compare.is_kind(answer, variable, wanted[variable].annotation)
            with np.errstate(all="ignore"):
                question.check(**answers, **inputs)
        except Hint as hint:
            return Verdict("wrong", str(hint))
        except NotAnsweredError as missing:
            return Verdict("open", str(missing))
        return Verdict("right")

    def find(self, name: object) -> Question | None:
        """Find a question, also if it is called "Q3" or 3."""
        name = str(name).strip().lower()
        return self.questions.get(f"q{name}" if name.isdecimal() else name)

    def guesses(self, ask: Ask) -> dict[str, object]:
        """Read a notebook's guesses ``guess_q1`` ...: numbers, short texts, short lists; never graded."""
        found = {}
        for question in self.questions.values():
            with suppress(Hint, NotAnsweredError, ValueError):  # a ragged list is no array
                guess = fetch(ask, f"guess_{question.name}") if question.truth else None
                guess = guess.strip()[:40] if isinstance(guess, str) else np.array(as_numpy(guess)).tolist()
                few = guess if isinstance(guess, list) else [guess]
                if guess != "" and 0 < len(few) < 9 and all(isinstance(part, str | int | float) for part in few):
                    found[question.name] = guess
        return found

    # What a student calls -------------------------------------------------------------------------------------------

    def check(self, name: str, namespace: Mapping[str, object] | None = None) -> None:
        """Say whether the answer to a question is right, what is wrong with it, or that it is missing.

        Never raises. Draws nothing from numpy's or torch's random numbers.

        Parameters
        ----------
        name : str
            Such as ``"q1"``; "Q1" and 1 will do.
        namespace : mapping, optional
            Where the answers are; without it, the variables of the caller's notebook.
        """
        namespace = sys._getframe(1).f_globals if namespace is None else namespace
        if (question := self.find(name)) is None:
            print(f"There is no question {name!r}; there are {', '.join(self.questions)}.")
        else:
            verdict = self._judge_here(question, namespace)
            print(f"{question.name}  {_SAYS[verdict.state][0]}{verdict.text}")
            if verdict.state == "right" and question.truth:
                guess = self.guesses(AnswerServer(namespace).serve).get(question.name, "none")
                print(f"    your guess: {guess}    what it is: {question.truth}")

    def hint(self, name: str) -> None:
        """Show a hint for a question; each call shows the next one, and the last again and again."""
        question = self.find(name)
        if question is None or not question.steps:
            hinted = ", ".join(known.name for known in self.questions.values() if known.steps)
            print(f"There is no hint for {name!r}; there are some for {hinted}.")
        else:
            steps, shown = question.steps, self._shown.get(question.name, 0)
            self._shown[question.name] = min(shown + 1, len(steps) - 1)
            print(f"{question.name}  hint {shown + 1} of {len(steps)}: {steps[shown]}")

    def done(self, name: str, namespace: Mapping[str, object] | None = None) -> bool:
        """Tell whether a question is answered rightly: for cells that show what an answer can do."""
        namespace = sys._getframe(1).f_globals if namespace is None else namespace
        question = self.find(name)
        right = question is not None and self._judge_here(question, namespace).state == "right"
        if not right:
            print(f"This cell shows something as soon as {name} is right.")
        return right

    def progress(self, namespace: Mapping[str, object] | None = None) -> None:
        """Print which questions are right by now, and how many points that is."""
        namespace = sys._getframe(1).f_globals if namespace is None else namespace
        reached = 0
        for question in self.questions.values():
            state = self._judge_here(question, namespace).state
            reached += question.points * (state == "right")
            print(f"{question.name:4s} {question.title:45s} {question.points} points   {_SAYS[state][1]}")
        checked = sum(question.points for question in self.questions.values() if question.check)
        rest = sum(question.points for question in self.questions.values()) - checked
        print(f"{reached} of {checked} points" + (f", and {rest} for what your teacher reads" if rest else ""))

    def test(self, name: str, namespace: Mapping[str, object], *, hidden: bool = False) -> None:
        """Raise a `Hint` unless the answer is right: the form that otter's test cells use.

        With ``hidden``, take the inputs of the hidden tests instead of those of the instant check.
        """
        for seed in HIDDEN if hidden else (PUBLIC,):
            with _undisturbed():
                verdict = self.judge(name, AnswerServer(namespace).serve, seed)
            if verdict.state != "right":
                raise Hint(verdict.text)

    def _judge_here(self, question: Question, namespace: Mapping[str, object]) -> Verdict:
        if question.check is None:
            return Verdict("by hand")
        try:
            with _undisturbed():
                return self.judge(question.name, AnswerServer(namespace).serve)
        except Exception as error:
            return Verdict("failed", f"({type(error).__name__}: {error}). Please tell your teacher.")


_SAYS = {  # in the instant check, and in the table
    "right": ("right", "right"),
    "wrong": ("not yet: ", "not yet"),
    "open": ("not answered yet: ", "-"),
    "failed": ("the check itself failed ", "check failed"),
    "by hand": ("your teacher reads this answer.", "read by your teacher"),
}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Leave random numbers and torch's settings as they were, whatever a student's function does to them."""
    torch = sys.modules.get("torch")
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 -- the global generator is what is kept
    if torch:
        draws, dtype, grad = torch.random.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if torch:
            torch.random.set_rng_state(draws)
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(grad)
