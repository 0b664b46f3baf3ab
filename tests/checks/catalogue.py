"""What the answers in a catalogue are made of."""

from typing import NamedTuple


class Wrong(NamedTuple):
    """A wrong answer that a student might give: its variables, and a piece of the hint meant for it."""

    answer: dict
    hint: str


def wrong(hint, **answer):
    return Wrong(answer, hint)
