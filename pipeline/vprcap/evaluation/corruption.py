"""Wrong captions on purpose: what becomes of a descriptor when its text cannot be trusted.

A captioner errs in a few ways: it describes another place, leaves things out, invents objects,
confuses colours or stops early. Each kind here does one of them to the *text*, before it is
encoded, so that a corrupted caption goes through exactly what an honest one goes through.

What is corrupted at a small strength is also corrupted, in the same way, at a larger one (same
seed): a curve over strengths shows the strength, not the luck of the draw. A missing caption stays
missing, and a caption that loses all its words is missing from then on.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from vprcap.errors import InvalidError

KINDS = (
    *("none", "shuffle", "wrong-place", "drop-words"),
    *("inject-objects", "swap-colours", "truncate", "other-prompt"),
)
COLOURS = (
    *("red", "orange", "yellow", "green", "blue", "purple", "pink"),
    *("brown", "beige", "white", "grey", "gray", "black"),
)
OBJECTS = (
    *("church", "clock tower", "fountain", "statue", "bridge", "windmill", "obelisk", "dome"),
    *("bus stop", "telephone box", "traffic light", "railway line", "market hall", "canal"),
)
OBJECTS_INJECTED = 3
MAX_DRAWS = 1000
"""Draws of another place's caption before an image is said to have none; each costs little."""

Captions = list[str | None]


SamePlace = Callable[
    [Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]], Bool[np.ndarray, " pairs"]
]
"""Says of pairs of images whether they may show one place."""


@dataclass(frozen=True)
class Corruption:
    """What is done to the captions of a set.

    Raises:
        InvalidError: the kind is unknown, the strength leaves 0..1, or another caption set is
            missing or not asked for.
    """

    kind: str
    strength: float = 1.0
    """Share of the captions that are corrupted; of ``drop-words`` the share of all words that go,
    of ``truncate`` the share of each caption's words that is cut off its end, of ``swap-colours``
    the share of all colour words."""
    seed: int = 0
    other_captions: Path | None = None
    """Caption set that ``other-prompt`` takes captions from."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidError(f"no corruption {self.kind!r}; there are: {', '.join(KINDS)}")
        if not 0 <= self.strength <= 1:
            raise InvalidError(f"strength {self.strength:g} of {self.kind} leaves 0..1")
        if (self.kind == "other-prompt") != (self.other_captions is not None):
            raise InvalidError(
                "other-prompt takes the captions of another set: "
                "name it with --other-captions, and only with other-prompt"
            )

    @property
    def name(self) -> str:
        """Name of a folder for what was measured under it."""
        return f"{self.kind}-{self.strength:g}-seed{self.seed}"

    @property
    def variant(self) -> str | None:
        """What a list of recalls calls a result under it; None where nothing is changed."""
        return f"corrupted captions: {self.name}" if self.kind != "none" and self.strength else None


def corrupt(
    captions: Sequence[str | None],
    corruption: Corruption,
    *,
    same_place: SamePlace | None = None,
    others: Sequence[str | None] = (),
) -> Captions:
    """Corrupt the captions of a set; equal arguments give equal captions.

    Args:
        captions: one an image; None or blank where there is none.
        corruption: kind, strength and seed.
        same_place: for ``wrong-place``, which images show one place.
        others: for ``other-prompt``, the captions of the same images in the other set.

    Raises:
        InvalidError: there is no other image, or none of another place, to take a caption from.
    """
    rng = np.random.default_rng(corruption.seed)
    strength = corruption.strength
    match corruption.kind:
        case "shuffle":
            return _foreign(captions, strength, rng, _same_image)
        case "wrong-place":
            assert same_place is not None, "wrong-place must know which images show one place"
            return _foreign(captions, strength, rng, same_place)
        case "drop-words":
            return _without_words(captions, strength, rng)
        case "inject-objects":
            return _with_objects(captions, strength, rng)
        case "swap-colours":
            return _with_other_colours(captions, strength, rng)
        case "truncate":
            return [_truncated(caption, strength) for caption in captions]
        case "other-prompt":
            return _of_the_other_prompt(captions, others, strength, rng)
    return list(captions)


def _same_image(
    rows: Int[np.ndarray, " pairs"], others: Int[np.ndarray, " pairs"]
) -> Bool[np.ndarray, " pairs"]:
    equal: np.ndarray = rows == others
    return equal


def _chosen(count: int, strength: float, rng: np.random.Generator) -> Bool[np.ndarray, " count"]:
    """Choose a share of `count` things; what a smaller share chooses a larger one chooses too."""
    chosen: np.ndarray = rng.permutation(count) < round(strength * count)
    return chosen


def _captioned(captions: Sequence[str | None]) -> Int[np.ndarray, " captioned"]:
    return np.flatnonzero([bool((caption or "").strip()) for caption in captions])


def _foreign(
    captions: Sequence[str | None], strength: float, rng: np.random.Generator, clash: SamePlace
) -> Captions:
    """Give some images the caption of one that does not clash with them."""
    captioned = _captioned(captions)
    rows = captioned[_chosen(len(captioned), strength, rng)]
    donors = _donors(captioned, rng, clash) if len(rows) else captioned
    donor_of = dict(zip(captioned.tolist(), donors.tolist(), strict=True))
    corrupted = list(captions)
    for row in rows.tolist():
        corrupted[row] = captions[donor_of[row]]
    return corrupted


def _donors(
    captioned: Int[np.ndarray, " captioned"], rng: np.random.Generator, clash: SamePlace
) -> Int[np.ndarray, " captioned"]:
    """Draw for every captioned image another one, again and again where the two clash."""
    donors = rng.choice(captioned, len(captioned))
    for _ in range(MAX_DRAWS):
        wrong = np.flatnonzero(clash(captioned, donors))
        if not len(wrong):
            return donors
        donors[wrong] = rng.choice(captioned, len(wrong))
    raise InvalidError(
        f"{len(wrong)} images have no captioned image of another place to take a caption from"
    )


def _without_words(
    captions: Sequence[str | None], strength: float, rng: np.random.Generator
) -> Captions:
    words = [(caption or "").split() for caption in captions]
    ends = np.cumsum([len(each) for each in words])
    dropped = np.split(_chosen(int(ends[-1]) if len(ends) else 0, strength, rng), ends[:-1])
    return [
        " ".join(word for word, gone in zip(each, lost, strict=True) if not gone) or None
        if lost.any()
        else caption
        for caption, each, lost in zip(captions, words, dropped, strict=True)
    ]


def _with_objects(
    captions: Sequence[str | None], strength: float, rng: np.random.Generator
) -> Captions:
    """Let some captions name objects that they did not name."""
    captioned = _captioned(captions)
    chosen = _chosen(len(captioned), strength, rng)
    orders = rng.random((len(captioned), len(OBJECTS))).argsort(axis=1)
    corrupted = list(captions)
    for row, order in zip(captioned[chosen].tolist(), orders[chosen], strict=True):
        caption = (captions[row] or "").rstrip()
        new = [_a(OBJECTS[i]) for i in order if OBJECTS[i] not in caption.lower()]
        corrupted[row] = f"{caption} There are also {', '.join(new[:OBJECTS_INJECTED])}."
    return corrupted


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


_COLOUR = re.compile(rf"\b({'|'.join(COLOURS)})\b", re.IGNORECASE)


def _with_other_colours(
    captions: Sequence[str | None], strength: float, rng: np.random.Generator
) -> Captions:
    """Replace some colour words by other colours."""
    total = sum(len(_COLOUR.findall(caption or "")) for caption in captions)
    chosen = iter(_chosen(total, strength, rng).tolist())
    steps = iter(rng.integers(1, len(_PALETTE), total).tolist())

    def swap(found: re.Match[str]) -> str:
        step, colour = next(steps), found[0].lower().replace("gray", "grey")
        if not next(chosen):
            return str(found[0])
        other: str = _PALETTE[(_PALETTE.index(colour) + step) % len(_PALETTE)]
        return other.capitalize() if found[0][0].isupper() else other

    return [caption and _COLOUR.sub(swap, caption) for caption in captions]


_PALETTE = tuple(colour for colour in COLOURS if colour != "gray")


def _truncated(caption: str | None, strength: float) -> str | None:
    words = (caption or "").split()
    kept = round((1 - strength) * len(words))
    return caption if kept == len(words) else " ".join(words[:kept]) or None


def _of_the_other_prompt(
    captions: Sequence[str | None],
    others: Sequence[str | None],
    strength: float,
    rng: np.random.Generator,
) -> Captions:
    captioned = _captioned(captions)
    corrupted = list(captions)
    for row in captioned[_chosen(len(captioned), strength, rng)].tolist():
        corrupted[row] = others[row]
    return corrupted
