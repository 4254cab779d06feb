"""Maps: where queries and what they found lie, in metres."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from vprcap.evaluation.stored import Evaluation
from vprcap.ground_truth.positives import Task
from vprcap.manifests.manifest import Manifest, half_zones, metres_of
from vprcap.pages.outcomes import UNSOLVABLE, Kind, judged_modes
from vprcap.pages.scale import metres, round_below

WIDTH, MARGIN = 720, 16
_LOWEST, _HIGHEST = 200, 560
_MOST_MAPS, _MOST_DATABASE, _MOST_QUERIES = 6, 3000, 2000


@dataclass(frozen=True, slots=True)
class Place:
    """A query on the map."""

    x: float
    y: float
    outcome: str
    """``right``, ``wrong`` or ``unsolvable``."""
    image_id: str
    found: tuple[float, float] | None
    """Where the first image retrieved was taken; None where nobody knows, or another map has it."""


@dataclass(frozen=True, slots=True)
class Map:
    """Everything of one city, or of one zone of metres, north up."""

    title: str
    height: int
    database: list[tuple[float, float]]
    queries: list[Place]
    bar: float
    """Length of the scale bar in units of the drawing."""
    bar_label: str
    num_database: int
    """All of them; `database` may be every k-th."""
    num_queries: int
    width: int = WIDTH

    @property
    def counts(self) -> dict[str, int]:
        """How many of the queries drawn are right, wrong and unsolvable."""
        outcomes = [query.outcome for query in self.queries]
        return {name: outcomes.count(name) for name in ("right", "wrong", "unsolvable")}


def maps_of(
    manifest: Manifest, task: Task, evaluation: Evaluation, kinds: Sequence[Kind]
) -> list[Map]:
    """Draw a map of every region where metres run on, of six those with most queries, them first.

    Args:
        manifest: where the images are.
        task: which of them are which.
        evaluation: what was found.
        kinds: the outcome of each query.
    """
    regions, known = regions_of(manifest), _placed(manifest)
    names, counts = np.unique(regions[task.queries][known[task.queries]], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_MAPS]
    return [
        _map(manifest, task, evaluation, kinds, known & (regions == name), str(name))
        for name in names[order]
    ]


def num_regions(manifest: Manifest, task: Task) -> int:
    """Count the regions that have queries with a position."""
    placed = _placed(manifest)[task.queries]
    return len(set(regions_of(manifest)[task.queries][placed]))


def num_unplaced(manifest: Manifest, task: Task) -> int:
    """Count the queries whose position nobody knows."""
    return int((~_placed(manifest)[task.queries]).sum())


def _placed(manifest: Manifest) -> Bool[np.ndarray, " images"]:
    placed: np.ndarray = np.isfinite(metres_of(manifest)).all(axis=1)
    return placed


def regions_of(manifest: Manifest) -> np.ndarray:
    """Name for every image the region in which its metres may be compared."""
    domains = manifest.column("domain")
    zones = half_zones(manifest.rows["zone"]).to_numpy()
    several_zones = len({zone for zone in zones if zone is not None}) > 1
    return np.array(
        [
            " ".join(str(part) for part in (domain, zone if several_zones else None) if part)
            for domain, zone in zip(domains, zones, strict=True)
        ]
    )


def _map(
    manifest: Manifest,
    task: Task,
    evaluation: Evaluation,
    kinds: Sequence[Kind],
    here: Bool[np.ndarray, " images"],
    title: str,
) -> Map:
    database, queries = task.database[here[task.database]], np.flatnonzero(here[task.queries])
    paper = _Paper.around(metres_of(manifest), np.concatenate([database, task.queries[queries]]))
    row_of = {image_id: row for row, image_id in enumerate(manifest.image_ids)}
    findings = evaluation.findings[judged_modes(evaluation)[0]]

    def place(query: int) -> Place:
        first = [row_of.get(each, -1) for each in findings.retrieved[query][:1]]
        found = [paper.point(row) for row in first if row >= 0 and here[row]]
        right = findings.first_hit[query] == 1
        outcome = "unsolvable" if kinds[query] is UNSOLVABLE else "right" if right else "wrong"
        own = paper.point(int(task.queries[query]))
        return Place(*own, outcome, evaluation.query_ids[query], found[0] if found else None)

    bar_metres = round_below(max(WIDTH / 5 / paper.scale, 1e-3))
    return Map(
        title=title,
        height=paper.height,
        database=[paper.point(int(row)) for row in _every(database, _MOST_DATABASE)],
        queries=[place(int(query)) for query in _every(queries, _MOST_QUERIES)],
        bar=round(bar_metres * paper.scale, 1),
        bar_label=f"{bar_metres:g} m" if bar_metres < 1000 else metres(bar_metres),
        num_database=len(database),
        num_queries=len(queries),
    )


@dataclass(frozen=True)
class _Paper:
    """Where on a map an image lies."""

    places: Float[np.ndarray, "images 2"]
    middle: Float[np.ndarray, " 2"]
    scale: float
    """Units of the drawing a metre."""
    height: int

    @classmethod
    def around(cls, places: Float[np.ndarray, "images 2"], rows: Int[np.ndarray, " n"]) -> "_Paper":
        """Make it large enough for these images."""
        low, high = places[rows].min(axis=0), places[rows].max(axis=0)
        scale = _scale(high - low)
        height = max(_LOWEST, 2 * MARGIN + int(scale * (high[1] - low[1])))
        return cls(places, (low + high) / 2, scale, height)

    def point(self, row: int) -> tuple[float, float]:
        """Give x and y, north up."""
        east, north = (self.places[row] - self.middle) * self.scale
        return round(float(east) + WIDTH / 2, 1), round(self.height / 2 - float(north), 1)


def _scale(extent: Float[np.ndarray, " 2"]) -> float:
    """Units of the drawing a metre; one point alone is drawn as if it were a street."""
    wide, tall = (max(float(each), 1.0) for each in extent)
    return min((WIDTH - 2 * MARGIN) / wide, (_HIGHEST - 2 * MARGIN) / tall)


def _every(rows: np.ndarray, most: int) -> np.ndarray:
    if len(rows) <= most:
        return rows
    return rows[np.arange(most) * len(rows) // most]
