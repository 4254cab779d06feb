"""A place in words, and words back to a place: captions that can be checked exactly.

A caption is read as claims, one value for each attribute that it names: `{"left colour": "red",
"right sign": "CAFE", "landmark": "dome", ...}`. Comparing them with the claims of the true place
gives the share that is right and, after CHAIR (Rohrbach et al. 2018), the share of the optional
objects named - signs, landmark, trees - that are not there.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vprcap.city.place import (
    COLOURS,
    FLOORS,
    LANDMARKS,
    MATERIALS,
    ROOFS,
    SIGNS,
    STREETS,
    WINDOWS,
    Facade,
    Place,
)

Claims = dict[str, str]

NUMERALS = {2: "two", 3: "three", 4: "four"}
SIDES = ("left", "right")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **{f"{side} colour": COLOURS for side in SIDES},
    **{f"{side} material": MATERIALS for side in SIDES},
    **{f"{side} windows": WINDOWS for side in SIDES},
    **{f"{side} roof": ROOFS for side in SIDES},
    **{f"{side} floors": tuple(NUMERALS[floors] for floors in FLOORS) for side in SIDES},
    **{f"{side} sign": SIGNS for side in SIDES},
    **{f"{side} tree": ("tree",) for side in SIDES},
    "street": STREETS,
    "landmark": LANDMARKS,
}
"""Every attribute a caption may name, with the values it may have."""

OPTIONAL = ("left sign", "right sign", "left tree", "right tree", "landmark")
"""Attributes of objects that a place may lack; naming one that is not there is a hallucination."""


def caption_of(place: Place) -> str:
    """Return the reference caption: true, complete and at most 60 words."""
    ahead = "runs ahead" if place.landmark is None else f"leads to {_a(place.landmark)} ahead"
    sentences = [
        f"On the left stands {_building(place.left)}.",
        f"On the right stands {_building(place.right)}.",
        f"A {place.street} street {ahead}.",
    ]
    if place.trees == "both":
        sentences.append("Trees stand on both sides.")
    elif place.trees != "none":
        sentences.append(f"A tree stands on the {place.trees}.")
    return " ".join(sentences)


def claims_of(place: Place) -> Claims:
    """Return what a perfect caption of the place claims."""
    claims = {"street": place.street}
    for side, facade in zip(SIDES, (place.left, place.right), strict=True):
        claims[f"{side} colour"] = facade.colour
        claims[f"{side} material"] = facade.material
        claims[f"{side} windows"] = facade.windows
        claims[f"{side} roof"] = facade.roof
        claims[f"{side} floors"] = NUMERALS[facade.floors]
        if facade.sign is not None:
            claims[f"{side} sign"] = facade.sign
        if place.trees in (side, "both"):
            claims[f"{side} tree"] = "tree"
    if place.landmark is not None:
        claims["landmark"] = place.landmark
    return claims


def claims_in(caption: str) -> Claims:
    """Read the claims of a caption, sentence by sentence; what cannot be read claims nothing.

    The first value named wins where a caption contradicts itself. A quoted sign is taken as it is
    written, so that a text which no shop bears still counts as claimed.
    """
    claims: Claims = {}
    for sentence in re.split(r"[.;\n]", caption):
        for attribute, value in _claims_in_sentence(sentence):
            claims.setdefault(attribute, value)
    return claims


@dataclass(frozen=True, slots=True)
class CaptionScore:
    """Counts behind the two figures of a caption; add scores to get those of many captions."""

    correct: int = 0
    """Attributes of the place that the caption states correctly."""
    attributes: int = 0
    """Attributes of the place."""
    hallucinated: int = 0
    """Optional objects named that are not there; a sign with another text is not there."""
    named: int = 0
    """Optional objects named."""

    def __add__(self, other: "CaptionScore") -> "CaptionScore":
        return CaptionScore(
            self.correct + other.correct,
            self.attributes + other.attributes,
            self.hallucinated + other.hallucinated,
            self.named + other.named,
        )

    @property
    def attribute_accuracy(self) -> float:
        """Share of the place's attributes that the caption states correctly."""
        return self.correct / self.attributes if self.attributes else 0.0

    @property
    def hallucination_rate(self) -> float:
        """Share of the optional objects named that are not there; 0 if none was named."""
        return self.hallucinated / self.named if self.named else 0.0


def score_caption(caption: str, truth: Claims) -> CaptionScore:
    """Compare a caption with the claims of the true place."""
    claims = claims_in(caption)
    named = [attribute for attribute in OPTIONAL if attribute in claims]
    return CaptionScore(
        correct=sum(claims.get(attribute) == value for attribute, value in truth.items()),
        attributes=len(truth),
        hallucinated=sum(claims[attribute] != truth.get(attribute) for attribute in named),
        named=len(named),
    )


def _building(facade: Facade) -> str:
    front = f"{NUMERALS[facade.floors]}-storey {facade.colour} {facade.material} building"
    if facade.sign is None:
        return f"a {front} with {facade.windows} windows and a {facade.roof} roof"
    return (
        f"a {front} with {facade.windows} windows, a {facade.roof} roof "
        f'and the sign "{facade.sign}"'
    )


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


_SIDED = {
    "colour": rf"\b({'|'.join(COLOURS)})\b",
    "material": rf"\b({'|'.join(MATERIALS)})\b",
    "windows": rf"\b({'|'.join(WINDOWS)}) windows?\b",
    "roof": rf"\b({'|'.join(ROOFS)}) roof\b",
    "floors": rf"\b({'|'.join(NUMERALS.values())})[- ](?:storey|story|floor)",
    "sign": r'sign "([^"]*)"',
}


def _claims_in_sentence(sentence: str) -> Iterable[tuple[str, str]]:
    sides = [side for side in SIDES if re.search(rf"\b({side}|both)\b", sentence, re.IGNORECASE)]
    if re.search(r"\btrees?\b", sentence, re.IGNORECASE):
        yield from ((f"{side} tree", "tree") for side in sides)
    elif len(sides) == 1:
        yield from _search(sentence, {f"{sides[0]} {name}": text for name, text in _SIDED.items()})
    yield from _search(
        sentence,
        {
            "street": rf"\b({'|'.join(STREETS)}) street\b",
            "landmark": rf"\b({'|'.join(LANDMARKS)})\b",
        },
    )


def _search(sentence: str, patterns: dict[str, str]) -> Iterable[tuple[str, str]]:
    for attribute, pattern in patterns.items():
        if found := re.search(pattern, sentence, re.IGNORECASE):
            value = found[1]
            yield attribute, value if attribute.endswith("sign") else value.lower()
