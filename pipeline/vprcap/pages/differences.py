"""Where two captions differ, word by word."""

from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True, slots=True)
class Piece:
    """Some words in a row."""

    text: str
    changed: bool
    """Whether the other caption has others in their place, or none."""


MOST_PAIRS = 5000
"""Of equal words, one in each caption: a diff of captions that say one thing again and again takes
time with the cube of their length."""


def differences(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """Part two captions into pieces that both have and pieces that one of them has.

    Where they have too many words in common, everything between a common beginning and a common end
    is one piece.
    """
    left, right = one.split(), other.split()
    counts = Counter(right)
    if sum(counts[word] for word in left) > MOST_PAIRS:
        return _between(left, right)
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    for kind, begin, end, begin_other, end_other in SequenceMatcher(
        None, left, right, autojunk=False
    ).get_opcodes():
        for own, words in zip(pieces, (left[begin:end], right[begin_other:end_other]), strict=True):
            if words:
                own.append(Piece(" ".join(words), kind != "equal"))
    return pieces


def _between(left: list[str], right: list[str]) -> tuple[list[Piece], list[Piece]]:
    begin, end = _common(left, right), 0
    if begin < min(len(left), len(right)):
        end = _common(left[begin:][::-1], right[begin:][::-1])
    return _three(left, begin, end), _three(right, begin, end)


def _common(left: list[str], right: list[str]) -> int:
    """Count the words that two lists begin with alike."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(left), len(right)))


def _three(words: list[str], begin: int, end: int) -> list[Piece]:
    middle = len(words) - end
    parts = [(words[:begin], False), (words[begin:middle], True), (words[middle:], False)]
    return [Piece(" ".join(part), changed) for part, changed in parts if part]
