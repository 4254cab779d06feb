"""What was believed of captions: shaded words, and how gates are distributed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vprcap.evaluation.stored import GatedCaption

NUM_BINS = 20
_FEWEST_TIMES = 10
"""A word is listed when it was written so often."""
_NUM_WORDS = 12
_EDGES = ".,;:!?\"'()"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin of the histogram."""

    low: float
    high: float
    count: int
    share: float
    """Of the highest bar."""


@dataclass(frozen=True, slots=True)
class Gates:
    """Gates of all words of a set."""

    bars: list[Bar]
    num_words: int
    median: float
    low: float
    """5th percentile: words below are not shaded."""
    high: float
    """95th percentile: words above are shaded in full."""
    most: list[tuple[str, float]]
    """Words believed most, with their mean gate; of those written ten times or more."""
    least: list[tuple[str, float]]


def gates_of(captions: Iterable[GatedCaption]) -> Gates | None:
    """Count the gates of all words, not those of punctuation; None where there is no word."""
    of_word: dict[str, list[float]] = defaultdict(list)
    for caption in captions:
        for word, gate in zip(caption.words, caption.gates, strict=True):
            if any(map(str.isalnum, word)):
                of_word[word.strip(_EDGES).lower()].append(gate)
    if not of_word:
        return None
    values = np.concatenate([np.array(own) for own in of_word.values()])
    counts, edges = np.histogram(values, NUM_BINS, (0.0, 1.0))
    bars = [
        Bar(float(low), float(high), int(count), float(count / counts.max()))
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    ranked = sorted(
        (
            (word, float(np.mean(own)))
            for word, own in of_word.items()
            if word and len(own) >= _FEWEST_TIMES
        ),
        key=lambda pair: (-pair[1], pair[0]),
    )
    half = min(_NUM_WORDS, len(ranked) // 2)
    least = ranked[::-1][:half]
    low, median, high = (float(each) for each in np.percentile(values, (5, 50, 95)))
    return Gates(bars, len(values), median, low, high, ranked[:half], least)


@dataclass(frozen=True, slots=True)
class Piece:
    """A word of a caption, with what stands between it and the word before."""

    before: str
    word: str
    gate: float
    shade: int
    """0 to 100: where the gate lies between `Gates.low` and `Gates.high`."""


def shaded(caption: GatedCaption, gates: Gates) -> Iterator[Piece]:
    """Part a caption into its words, as it was written."""
    end, span = 0, max(gates.high - gates.low, 1e-6)
    for word, gate in zip(caption.words, caption.gates, strict=True):
        start = caption.caption.find(word, end)
        before = caption.caption[end:start] if start >= 0 else " "
        end = start + len(word) if start >= 0 else end
        shade = min(1.0, max(0.0, (gate - gates.low) / span))
        yield Piece(before, word, gate, round(100 * shade))
