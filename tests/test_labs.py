"""Every check against a catalogue of right and wrong answers: a few seeds by day, many at night (`-m slow`)."""

import importlib
import pkgutil
import re
from pathlib import Path

import nbformat
import pytest

from coursekit import checks
from coursekit.checks.lab import HIDDEN, PUBLIC, Lab
from coursekit.checks.server import AnswerServer

ROOT = Path(__file__).parent.parent
LABS = [module.name for module in pkgutil.iter_modules(checks.__path__) if re.fullmatch(r"lab\d+", module.name)]
FEWER = {("lab04", "q3"), ("lab04", "q6"), ("lab03", "q2")}  # at night, fewer seeds for what takes longest


def lab_of(name) -> Lab:
    return importlib.import_module(f"coursekit.checks.{name}").lab


def catalogue_of(name):
    return importlib.import_module(f"tests.checks.catalogue{name.removeprefix('lab')}")


def checked(name):
    return [question.name for question in lab_of(name).questions.values() if question.check]


def refused(name, question, seeds):
    """Right answers that a check refuses: title, seed, and what the student would read."""
    verdicts = [
        (question, title, seed, lab_of(name).judge(question, AnswerServer(answer).serve, seed))
        for title, answer in catalogue_of(name).RIGHT[question].items()
        for seed in seeds
    ]
    return [(*which, verdict.text) for *which, verdict in verdicts if verdict.state != "right"]


def not_refused(name, question, seeds):
    """Wrong answers that a check accepts, or refuses with another hint than the one meant for them."""
    verdicts = [
        (question, title, seed, wrong.hint, lab_of(name).judge(question, AnswerServer(wrong.answer).serve, seed))
        for title, wrong in catalogue_of(name).WRONG[question].items()
        for seed in seeds
    ]
    return [
        (*which, hint, verdict.state, verdict.text)
        for *which, hint, verdict in verdicts
        if verdict.state != "wrong" or hint not in verdict.text
    ]


@pytest.mark.parametrize("name", LABS)
def test_every_question_has_a_catalogue(name):
    catalogue = catalogue_of(name)
    assert sorted(catalogue.RIGHT) == sorted(catalogue.WRONG) == sorted(checked(name))
    for question in checked(name):
        assert len(catalogue.RIGHT[question]) >= 3, f"{question} needs three right answers written differently"
        assert len(catalogue.WRONG[question]) >= 6, f"{question} needs six wrong answers"


@pytest.mark.parametrize("name", LABS)
def test_a_lab_has_questions_to_check_and_one_to_read(name):
    questions = lab_of(name).questions.values()
    assert 5 <= len(questions) <= 7
    assert any(question.check is None for question in questions)
    assert all(question.points > 0 for question in questions)


@pytest.mark.parametrize("name", LABS)
def test_questions_have_stars_hints_and_a_place_for_a_guess(name):
    (path,) = (ROOT / "notebooks" / "labs").glob(f"{name}_*.ipynb")
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    for question in lab_of(name).questions.values():
        number = question.name.removeprefix("q")
        (heading,) = (s.splitlines()[0] for s in sources if s.startswith(f"## Question {number}: "))
        assert (re.search(r" ★{1,3} \(", heading) is not None) == (question.check is not None)
        assert len(question.steps) in ((2, 3) if question.check else (0,))
        assert all(step[0].islower() or step[0] == "`" for step in question.steps)
        assert any(s.startswith(f"guess_{question.name} = ...") for s in sources) == bool(question.truth)
    assert sum(s.startswith("## Something of your own: ") for s in sources) == 1
    minutes = [int(m) for s in sources for m in re.findall(r"^## Question .*, (\d+) minutes\)", s)]
    announced = int(re.search(r"\*Time\*: about (\d+) minutes", "\n".join(sources))[1])
    assert abs(sum(minutes) - announced) <= 10


@pytest.mark.parametrize("name", LABS)
def test_sections_that_a_lab_refers_to_exist(name):
    (path,) = (ROOT / "notebooks" / "labs").glob(f"{name}_*.ipynb")
    sources = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    for number, section in re.findall(r"otebook (\d),? \(?section (\d+)", sources):
        (notebook,) = (ROOT / "notebooks").glob(f"{number.zfill(2)}_*.ipynb")
        cells = nbformat.read(notebook, as_version=4).cells
        assert any(cell.source.startswith(f"## {section}. ") for cell in cells), (number, section)


def test_no_hint_counts_wrong_values():
    texts = "\n".join(path.read_text(encoding="utf-8") for path in Path(checks.__path__[0]).rglob("*.py"))
    assert not re.search(r"values? of .* (is|are) wrong", texts)


@pytest.mark.parametrize("name", LABS)
def test_right_answers_are_accepted(name):
    assert [line for question in checked(name) for line in refused(name, question, (PUBLIC, (2026, 11)))] == []


@pytest.mark.parametrize("name", LABS)
def test_wrong_answers_are_refused_with_their_hint(name):
    assert [line for question in checked(name) for line in not_refused(name, question, ((2026, 11),))] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", LABS)
def test_right_and_wrong_answers_with_many_seeds(name):
    wrong = []
    for question in checked(name):
        few, many = [PUBLIC, *HIDDEN, (2027, 1)], [(2028, seed) for seed in range(60)]
        wrong += refused(name, question, few if (name, question) in FEWER else [*few, *many])
        wrong += not_refused(name, question, few)
    assert wrong == []
