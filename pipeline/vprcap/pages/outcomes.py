"""What text did to each query, and which queries are shown.

A report that showed only rescues would be an advertisement: every outcome gets an equal share of
the rows, and within an outcome every k-th query is shown, in the set's order. Nobody picks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vprcap.evaluation.stored import Evaluation


@dataclass(frozen=True, slots=True)
class Kind:
    """An outcome, and what it is called."""

    name: str
    meaning: str


SAVED = Kind("saved", "image alone was wrong, with text right")
SPOILED = Kind("spoiled", "image alone was right, with text wrong")
BOTH_RIGHT = Kind("both right", "right with and without text")
BOTH_WRONG = Kind("both wrong", "wrong with and without text")
RIGHT = Kind("right", "the first image retrieved shows the place")
WRONG = Kind("wrong", "the first image retrieved shows another place")
UNSOLVABLE = Kind("unsolvable", "no database image is a positive")
_IN_ORDER = (SAVED, SPOILED, BOTH_WRONG, BOTH_RIGHT, WRONG, RIGHT, UNSOLVABLE)


def outcomes(evaluation: Evaluation, solvable: Sequence[bool]) -> list[Kind]:
    """Say of each query what became of it at the first image retrieved."""
    best, before = judged_modes(evaluation)
    now = [rank == 1 for rank in evaluation.findings[best].first_hit]
    then = now if before is None else [r == 1 for r in evaluation.findings[before].first_hit]
    return [
        _outcome(able, with_text, without, compared=before is not None)
        for able, with_text, without in zip(solvable, now, then, strict=True)
    ]


def judged_modes(evaluation: Evaluation) -> tuple[str, str | None]:
    """Return the mode that is judged, and the one without text that it is compared with."""
    if {"fused", "image"} <= evaluation.findings.keys():
        return "fused", "image"
    return next(iter(evaluation.findings)), None


def _outcome(able: bool, with_text: bool, without: bool, *, compared: bool) -> Kind:
    match able, compared, without, with_text:
        case False, _, _, _:
            return UNSOLVABLE
        case _, False, _, right:
            return RIGHT if right else WRONG
        case _, _, False, True:
            return SAVED
        case _, _, True, False:
            return SPOILED
        case _, _, True, True:
            return BOTH_RIGHT
        case _:
            return BOTH_WRONG


def counted(kinds: Sequence[Kind]) -> dict[Kind, int]:
    """Count outcomes, those that occur, in the order in which they are shown."""
    return {kind: kinds.count(kind) for kind in _IN_ORDER if kind in kinds}


def chosen(kinds: Sequence[Kind], most: int) -> list[int]:
    """Choose queries to show, outcome by outcome.

    Args:
        kinds: of each query.
        most: how many queries at most.

    Returns:
        Positions in `kinds`.
    """
    rows: list[int] = []
    left = sorted(counted(kinds).items(), key=lambda pair: pair[1])
    shares = {}
    for num_later, (kind, count) in zip(range(len(left), 0, -1), left, strict=True):
        shares[kind] = min(count, most // num_later)
        most -= shares[kind]
    for kind in counted(kinds):
        own = [row for row, each in enumerate(kinds) if each == kind]
        rows += [own[i * len(own) // shares[kind]] for i in range(shares[kind])]
    return rows
