"""Captions that exist are copied: those of the same bytes under the same configuration.

Pitts30k lies inside Pitts250k, a look at the first images inside the whole set. What is copied is
equal to what would be computed, since a caption depends on nothing but the image's bytes and the
configuration; so reuse is found by these two and by no name.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.reuse_index import ReuseIndex
from vprcap.errors import VprcapError
from vprcap.files import fingerprint
from vprcap.images import DecodedImage

# About 16 MB of rows: images that occur twice in a dataset are mostly neighbours.
_REMEMBERED = 1 << 14

logger = logging.getLogger(__name__)


class Reuse:
    """Looks images up in other caption sets, and in what this worker has captioned lately."""

    def __init__(self, indexes: Sequence[ReuseIndex] = (), own_name: str = "") -> None:
        self._indexes = list(indexes)
        self._own_name = own_name
        self._lately: dict[str, Mapping[str, Any]] = {}

    def row(self, image_id: str, image: DecodedImage) -> dict[str, Any] | None:
        """Return the row of an image as a copy, None where it must be captioned."""
        if image.sha256 is None:
            return None
        found, name = self._lately.get(image.sha256), self._own_name
        for index in () if found else tuple(self._indexes):
            found, name = self._find(index, image.sha256), index.name
            if found:
                break
        if not found:
            return None
        kept = {key: value for key, value in found.items() if key != "config_id"}
        return {**kept, "image_id": image_id, "error": None, "seconds": None, "copied_from": name}

    def remember(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note rows that were just made, for the same images under other names."""
        if not self._own_name:
            return
        for row in rows:
            if row["status"] == "ok":
                self._lately[row["image_sha256"]] = row
        while len(self._lately) > _REMEMBERED:
            del self._lately[next(iter(self._lately))]

    def _find(self, index: ReuseIndex, sha256: str) -> dict[str, Any] | None:
        """Look into one set; one that cannot be read any more is left alone from now on."""
        try:
            return index.find(sha256)
        except VprcapError as problem:
            self._indexes.remove(index)
            logger.warning("%s is not reused any more: %s", index.name, problem)
            return None


def open_reuse(captions: CaptionSet, config_id: str, data_root: Path | None) -> Reuse:
    """Find what can be reused for a caption set, and index it.

    Args:
        captions: the set that is to be written; its indexes are kept in it.
        config_id: of how its text is made.
        data_root: folder of datasets, one folder each, whose caption sets count too; those in the
            same captions root always do.
    """
    indexes = []
    for source in _sources(captions.root, config_id, data_root):
        path = captions.reuse_index(f"{source.root.name}-{fingerprint(str(source.root))[:8]}")
        try:
            indexes.append(ReuseIndex(source, config_id, path))
        except (VprcapError, OSError) as problem:
            logger.warning("captions of %s are not reused: %s", source.root, problem)
    return Reuse(indexes, captions.root.name)


def _sources(own: Path, config_id: str, data_root: Path | None) -> list[CaptionSet]:
    """Return the other caption sets under a configuration that have rows."""
    configs = [*own.parent.glob("*/config.json")]
    if data_root is not None:
        configs += data_root.glob("*/captions/*/config.json")
    roots = {path.parent.resolve() for path in configs} - {own.resolve()}
    sources = [CaptionSet(root).now() for root in sorted(roots) if _is_under(root, config_id)]
    return [source for source in sources if source.files()]


def _is_under(root: Path, config_id: str) -> bool:
    try:
        return CaptionSet(root).config_id == config_id
    except (VprcapError, OSError, KeyError, TypeError) as problem:
        logger.warning("captions of %s are not reused: no usable config.json (%s)", root, problem)
        return False
