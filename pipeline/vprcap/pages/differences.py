"""Where two captions differ, word by word."""

from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True, slots=True)
class Piece:
    """Some words in a row."""

    text: str
    changed: bool
    """Whether the other caption has others in their place, or none."""


def differences(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Part two captions into pieces that both have and pieces that one of them has."""
    left, right = one.split(), other.split()
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    for kind, begin, end, begin_other, end_other in SequenceMatcher(
        None, left, right, autojunk=False
    ).get_opcodes():
        for own, words in zip(pieces, (left[begin:end], right[begin_other:end_other]), strict=True):
            if words:
                own.append(Piece(" ".join(words), kind != "equal"))
    return pieces
