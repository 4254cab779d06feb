"""Queries as a reader sees them: the photograph, the words, and what was retrieved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from vprcap.evaluation.stored import Evaluation, GatedCaption
from vprcap.ground_truth.positives import Task
from vprcap.manifests.manifest import Manifest, metres_of
from vprcap.pages.outcomes import Kind, judged_modes
from vprcap.pages.pictures import Thumbnail, thumbnail
from vprcap.pages.positions import regions_of
from vprcap.pages.scale import metres
from vprcap.progress import Progress

QUERY_SIDE, FOUND_SIDE = 256, 120
"""Longer edges of pictures, in pixels."""
NUM_FOUND = 5
_PICTURES_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """A database image that was retrieved."""

    rank: int
    image_id: str
    picture: Thumbnail
    right: bool
    apart: str
    """How far from the query; empty where nobody knows."""


@dataclass(frozen=True, slots=True)
class Strip:
    """What one mode retrieved."""

    mode: str
    found: list[Found]
    first_hit: int | None
    """Rank of the first positive."""


@dataclass(frozen=True, slots=True)
class QueryRow:
    """One query."""

    image_id: str
    kind: Kind
    picture: Thumbnail
    caption: GatedCaption | None
    num_positives: int
    strips: list[Strip]


def build_rows(
    manifest: Manifest,
    task: Task,
    evaluation: Evaluation,
    kinds: Sequence[Kind],
    chosen: Sequence[int],
    *,
    follow_links: bool = False,
) -> list[QueryRow]:
    """Make the rows of some queries; a picture that cannot be read is said to be so.

    Args:
        manifest: images and their root.
        task: database, queries and positives.
        evaluation: what was found and believed.
        kinds: outcome of each query.
        chosen: which queries.
        follow_links: whether images may be links out of the image root.
    """
    root = Path(manifest.info.image_root)
    small = partial(thumbnail, root, follow_links=follow_links)
    found_picture = lru_cache(_PICTURES_KEPT)(lambda name: small(name, FOUND_SIDE))
    builder = _Builder(manifest, task, evaluation, found_picture)
    rows = []
    with Progress("report", len(chosen), "queries") as progress:
        for query in chosen:
            image_id = evaluation.query_ids[query]
            rows.append(
                QueryRow(
                    image_id,
                    kinds[query],
                    small(image_id, QUERY_SIDE),
                    evaluation.captions.get(image_id),
                    len(task.positives[query]),
                    builder.strips(query),
                )
            )
            progress.advance()
    return rows


class _Builder:
    """Knows where images lie and what they look like, each once."""

    def __init__(
        self,
        manifest: Manifest,
        task: Task,
        evaluation: Evaluation,
        picture: Callable[[str], Thumbnail],
    ) -> None:
        self._task, self._evaluation = task, evaluation
        self._ids = manifest.image_ids
        self._row_of = {image_id: row for row, image_id in enumerate(self._ids)}
        self._places, self._regions = metres_of(manifest), regions_of(manifest)
        self._frames = manifest.column("frame") if manifest.info.rule.kind == "frames" else None
        self._picture = picture

    def strips(self, query: int) -> list[Strip]:
        best, before = judged_modes(self._evaluation)
        modes = [mode for mode in (before, best) if mode is not None]
        return [self._strip(mode, query) for mode in modes]

    def _strip(self, mode: str, query: int) -> Strip:
        findings = self._evaluation.findings[mode]
        positives = {self._ids[self._task.database[each]] for each in self._task.positives[query]}
        found = [
            Found(
                rank,
                image_id,
                self._picture(image_id),
                image_id in positives,
                self._apart(int(self._task.queries[query]), self._row_of.get(image_id)),
            )
            for rank, image_id in enumerate(findings.retrieved[query][:NUM_FOUND], start=1)
        ]
        return Strip(mode, found, findings.first_hit[query])

    def _apart(self, query: int, other: int | None) -> str:
        """Say how far two images are apart, as the rule counts it."""
        if other is None or self._regions[query] != self._regions[other]:
            return ""
        if self._frames is not None:
            return f"{abs(self._frames[query] - self._frames[other]):.0f} frames"
        distance = float(np.hypot(*(self._places[query] - self._places[other])))
        return metres(distance) if np.isfinite(distance) else ""
