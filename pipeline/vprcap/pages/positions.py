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
    """Draw a map of every place where metres run on, those with most queries first.

    Args:
        manifest: where the images are.
        task: which of them are which.
        evaluation: what was found.
        kinds: the outcome of each query.
    """
    regions = regions_of(manifest)
    known = np.isfinite(metres_of(manifest)).all(axis=1)
    asked = regions[task.queries][known[task.queries]]
    names, counts = np.unique(asked.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST_MAPS]
    return [
        _map(manifest, task, evaluation, kinds, known & (regions.astype(str) == name), name)
        for name in names[order]
    ]


def regions_of(manifest: Manifest) -> np.ndarray:
    """Name for every image the region in which its metres may be compared."""
    domains = manifest.column("domain")
    zones = half_zones(manifest.rows["zone"]).to_numpy()
    several_zones = len({zone for zone in zones if zone is not None}) > 1
    return np.array(
        [
            " ".join(str(part) for part in (domain, zone if several_zones else None) if part)
            for domain, zone in zip(domains, zones, strict=True)
        ],
        dtype=object,
    )


def _map(
    manifest: Manifest,
    task: Task,
    evaluation: Evaluation,
    kinds: Sequence[Kind],
    here: Bool[np.ndarray, " images"],
    title: str,
) -> Map:
    places = metres_of(manifest)
    database, queries = task.database[here[task.database]], np.flatnonzero(here[task.queries])
    corners = places[np.concatenate([database, task.queries[queries]])]
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = _scale(high - low)
    height = 2 * MARGIN + int(scale * (high[1] - low[1]))
    height = max(_LOWEST, height)

    def on_paper(rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows 2"]:
        centred = (places[rows] - (low + high) / 2) * scale * np.array([1, -1])
        middle: np.ndarray = centred + np.array([WIDTH / 2, height / 2])
        return middle.round(1)

    row_of = {image_id: row for row, image_id in enumerate(manifest.image_ids)}
    findings = evaluation.findings[judged_modes(evaluation)[0]]

    def place(query: int) -> Place:
        image_id = evaluation.query_ids[query]
        own = on_paper(task.queries[query : query + 1])[0]
        first = [row_of.get(each, -1) for each in findings.retrieved[query][:1]]
        known = [on_paper(np.array([row]))[0] for row in first if row >= 0 and here[row]]
        found = (float(known[0][0]), float(known[0][1])) if known else None
        right = findings.first_hit[query] == 1
        outcome = "unsolvable" if kinds[query] is UNSOLVABLE else "right" if right else "wrong"
        return Place(float(own[0]), float(own[1]), outcome, image_id, found)

    bar_metres = round_below(max(WIDTH / 5 / scale, 1e-3))
    return Map(
        title=title,
        height=height,
        database=[(float(x), float(y)) for x, y in on_paper(_every(database, _MOST_DATABASE))],
        queries=[place(int(query)) for query in _every(queries, _MOST_QUERIES)],
        bar=round(bar_metres * scale, 1),
        bar_label=metres(bar_metres),
        num_database=len(database),
        num_queries=len(queries),
    )


def _scale(extent: Float[np.ndarray, " 2"]) -> float:
    """Units of the drawing a metre; one point alone is drawn as if it were a street."""
    wide, tall = (max(float(each), 1.0) for each in extent)
    return min((WIDTH - 2 * MARGIN) / wide, (_HIGHEST - 2 * MARGIN) / tall)


def _every(rows: np.ndarray, most: int) -> np.ndarray:
    if len(rows) <= most:
        return rows
    return rows[np.arange(most) * len(rows) // most]
