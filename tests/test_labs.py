"""Every check against a catalogue of right and wrong answers."""

import importlib

import pytest

from coursekit.checks.holder import Holder
from coursekit.checks.lab import HIDDEN, PUBLIC, Lab
from tests.checks.catalogue import Wrong
from tools.grading.classroom import lab_names

LABS = lab_names()


def lab_of(name) -> Lab:
    return importlib.import_module(f"coursekit.checks.{name}").lab


def catalogue_of(name):
    return importlib.import_module(f"tests.checks.catalogue{name.removeprefix('lab')}")


def cases(which):
    """Every catalogued answer: lab, question, what it is called, the answer."""
    return [
        pytest.param(lab_of(name), question, answer, id=f"{name}-{question}-{title}")
        for name in LABS
        for question, answers in getattr(catalogue_of(name), which).items()
        for title, answer in answers.items()
    ]


@pytest.mark.parametrize("name", LABS)
def test_every_question_has_a_catalogue(name):
    catalogue = catalogue_of(name)
    checked = [question.name for question in lab_of(name).questions.values() if question.check]
    assert sorted(catalogue.RIGHT) == sorted(catalogue.WRONG) == sorted(checked)
    for question in checked:
        assert len(catalogue.RIGHT[question]) >= 3, f"{question} needs three right answers written differently"
        assert len(catalogue.WRONG[question]) >= 6, f"{question} needs six wrong answers"


@pytest.mark.parametrize("name", LABS)
def test_a_lab_has_questions_to_check_and_one_to_read(name):
    questions = lab_of(name).questions.values()
    assert 5 <= len(questions) <= 7
    assert any(question.check is None for question in questions)
    assert all(question.points > 0 for question in questions)


@pytest.mark.parametrize(("lab", "question", "answer"), cases("RIGHT"))
def test_right_answers_are_accepted(lab, question, answer):
    for seed in (PUBLIC, *HIDDEN, (2026, 11)):
        verdict = lab.judge(question, Holder(answer).serve, seed)
        assert (verdict.state, verdict.text) == ("right", "")


@pytest.mark.parametrize(("lab", "question", "answer"), cases("WRONG"))
def test_wrong_answers_are_refused_with_their_hint(lab, question, answer):
    assert isinstance(answer, Wrong)
    for seed in (PUBLIC, *HIDDEN, (2026, 11)):
        verdict = lab.judge(question, Holder(answer.answer).serve, seed)
        assert verdict.state == "wrong"
        assert answer.hint in verdict.text, verdict.text
