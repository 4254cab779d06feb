"""Identical captions: what a model says of many different images describes none of them.

No single row shows it, so captions are counted over a whole set; 16 bytes a row are kept of them,
not their texts. The same image under several names counts once: it is described alike with reason.
"""

from array import array
from hashlib import blake2b

import numpy as np

MANY = 10
"""Different images with one caption that are no coincidence: views from one spot may be few."""


class IdenticalCaptions:
    """Counts captions; case and spaces make no difference."""

    def __init__(self) -> None:
        self._pairs = array("Q")

    def add(self, caption: str, image_sha256: str) -> None:
        """Count a caption of an image."""
        self._pairs.extend((caption_key(caption), _key(image_sha256)))

    def count(self) -> tuple[int, dict[int, int]]:
        """Return the number of different captions, and how many images have each that many have.

        Those are named by their key: `MANY` images or more.
        """
        pairs = np.frombuffer(self._pairs, np.uint64).reshape(-1, 2)
        ordered = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        new = np.ones(len(ordered), bool)
        new[1:] = np.any(ordered[1:] != ordered[:-1], axis=1)
        keys, counts = np.unique(ordered[new, 0], return_counts=True)
        many = counts >= MANY
        return len(keys), dict(zip(keys[many].tolist(), counts[many].tolist(), strict=True))


def caption_key(caption: str) -> int:
    """Return what stands for a caption and all that differ from it in case and spaces only."""
    return _key(" ".join(caption.casefold().split()))


def _key(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest)
