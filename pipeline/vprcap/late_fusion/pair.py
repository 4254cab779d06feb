"""Two descriptors per image, and what a fitted fusion makes of them."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int

from vprcap.errors import InvalidError

LATE_FUSIONS = (
    "concatenation",
    "mlp",
    "addition",
    "fixed-weight",
    "dynamic-weighting",
    "z-score",
    "text-rerank",
)
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Pair:
    """Unit descriptors of images and of their captions, row by row.

    Raises:
        InvalidError: arrays differ in their number of images, a descriptor that exists is not of
            unit length, or one that does not is not zero.
    """

    image: Float32[np.ndarray, "images image_dim"]
    text: Float32[np.ndarray, "images text_dim"]
    has_image: Bool[np.ndarray, " images"]
    has_text: Bool[np.ndarray, " images"]

    def __post_init__(self) -> None:
        counts = {name: len(array) for name, array in vars(self).items()}
        if len(set(counts.values())) > 1:
            raise InvalidError(f"descriptor arrays differ in their number of images: {counts}")
        _check_lengths("image", self.image, self.has_image)
        _check_lengths("text", self.text, self.has_text)

    @property
    def dims(self) -> tuple[int, int]:
        """Numbers of an image descriptor and of a text descriptor."""
        return self.image.shape[1], self.text.shape[1]

    def take(self, rows: Int[np.ndarray, " _"]) -> "Pair":
        """Some of the images, in the order of `rows`."""
        return Pair(self.image[rows], self.text[rows], self.has_image[rows], self.has_text[rows])


@runtime_checkable
class LateFusion(Protocol):
    """A fitted fusion: the inner product of what its two methods give is the fused score.

    Both raise InvalidError when descriptors have other sizes than those it was fitted on.
    """

    name: str
    """Which of LATE_FUSIONS."""

    def queries(self, pairs: Pair) -> Float32[np.ndarray, "images dim"]:
        """Vectors to ask with; not of unit length in every fusion."""

    def database(self, pairs: Pair) -> Float32[np.ndarray, "images dim"]:
        """Vectors to be searched."""


def _check_lengths(
    name: str, vectors: Float32[np.ndarray, "images dim"], present: Bool[np.ndarray, " images"]
) -> None:
    lengths = np.linalg.norm(vectors, axis=1)
    # Written so that a NaN is wrong too.
    wrong = ~(np.abs(lengths - present) <= np.where(present, UNIT_TOLERANCE, 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise InvalidError(
            f"{wrong.sum()} {name} descriptors have the wrong length, first row {row}: "
            f"{lengths[row]:.3g} where {int(present[row])} is due; normalise them, and leave a "
            "missing one at zero"
        )
