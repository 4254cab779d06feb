"""Which database images show the place of a query, by the manifest's rule.

Queries are compared with database images of their own search domain only: coordinates of two cities
or two UTM zones may coincide. A distance is decided to the micrometre and the radius is inclusive,
so two positions whose decimals are exactly 25 m apart are positives at 25 m, whatever the binary
rounding of their coordinates.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from vprcap.errors import InvalidError
from vprcap.manifests.manifest import Manifest, half_zones, metres_of

_MICROMETRE = 1e-6
_FARTHEST_M = 1e8
"""More than twice round the earth; squares of far more would overflow."""


@dataclass(frozen=True, slots=True)
class Domain:
    """Queries and the database that they are searched in."""

    database: Int[np.ndarray, " own_database"]
    """Positions in the task's database, ascending."""
    queries: Int[np.ndarray, " own_queries"]
    """Positions among the task's queries, ascending."""


@dataclass(frozen=True)
class Task:
    """Database and queries of a manifest and the ground truth between them."""

    database: Int[np.ndarray, " database"]
    """Manifest rows."""
    queries: Int[np.ndarray, " queries"]
    """Manifest rows."""
    positives: list[Int[np.ndarray, " _"]]
    """For each query, positions in `database`, ascending; may be empty."""
    domains: Sequence[Domain]
    """Every query is in one."""

    @property
    def solvable(self) -> Bool[np.ndarray, " queries"]:
        """Which queries have a positive at all."""
        return np.array([len(own) > 0 for own in self.positives])


def build_task(manifest: Manifest, without: Collection[str] = ()) -> Task:
    """Find database, queries and positives of a manifest.

    Args:
        manifest: its rule says what a positive is.
        without: ids of database images to leave out.

    Raises:
        InvalidError: no database or no queries, what the rule asks for is not there, or every
            database image is left out.
    """
    database, queries = manifest.rows_of("database"), manifest.rows_of("query")
    for rows, role in ((database, "database"), (queries, "query")):
        if not len(rows):
            raise InvalidError(f"{manifest.info.name} has no {role} images; set their role")
    domains = list(domains_of(manifest, database, queries))
    task = Task(database, queries, _positives(manifest, database, queries, domains), domains)
    return _leave_out(task, manifest, without) if without else task


def _positives(
    manifest: Manifest, database: np.ndarray, queries: np.ndarray, domains: Sequence[Domain]
) -> list[Int[np.ndarray, " _"]]:
    if len(domains) == 1 and len(domains[0].database) == len(database):
        return list(_find(manifest, database, queries))
    positives = [np.empty(0, dtype=np.int64)] * len(queries)
    for domain in domains:
        if not len(domain.database):
            continue
        found = _find(manifest, database[domain.database], queries[domain.queries])
        for query, rows in zip(domain.queries, found, strict=True):
            positives[query] = domain.database[rows]
    return positives


def _leave_out(task: Task, manifest: Manifest, without: Collection[str]) -> Task:
    """Take images out of the database, after the rule: a list may name them."""
    ids = manifest.rows["image_id"].take(task.database)
    dropped = pc.is_in(ids, value_set=pa.array(list(without), pa.string()))
    kept = ~dropped.to_numpy()
    if not kept.any():
        raise InvalidError(
            f"every database image of {manifest.info.name} is left out; nothing is left to search"
        )
    renumbered = np.cumsum(kept) - 1

    def remaining(rows: Rows) -> Rows:
        own: Rows = renumbered[rows[kept[rows]]]
        return own

    return Task(
        task.database[kept],
        task.queries,
        [remaining(own) for own in task.positives],
        [Domain(remaining(domain.database), domain.queries) for domain in task.domains],
    )


def domains_of(
    manifest: Manifest, database: Int[np.ndarray, " database"], queries: Int[np.ndarray, " queries"]
) -> Iterator[Domain]:
    """Part database and queries, given as manifest rows, into search domains."""
    column = manifest.rows["domain"]
    if len(column.take(np.concatenate([database, queries])).unique()) == 1:
        yield Domain(np.arange(len(database)), np.arange(len(queries)))
        return
    own_names, asked_names = (column.take(rows).to_numpy() for rows in (database, queries))
    for name in sorted(set(asked_names), key=str):
        yield Domain(np.flatnonzero(own_names == name), np.flatnonzero(asked_names == name))


Rows = Int[np.ndarray, " _"]


def _find(manifest: Manifest, database: Rows, queries: Rows) -> Sequence[Rows]:
    """Positions in `database` of the positives of each query; both are manifest rows."""
    rule = manifest.info.rule
    match rule.kind:
        case "frames":
            frames = _known(manifest, "frame", database, queries)
            own, asked = frames[database].astype(np.int64), frames[queries].astype(np.int64)
            return within_frames(own, asked, rule.frames)
        case "place":
            places = _known(manifest, "place_id", database, queries)
            return _equal(places[database], places[queries])
        case "listed":
            return _listed(manifest, database, queries)
    found = _nearby(manifest, database, queries)
    if rule.heading_deg is None:
        return found
    headings = _known(manifest, "heading_deg", database, queries)
    return [
        rows[turn(headings[database[rows]], headings[query]) <= rule.heading_deg + _MICROMETRE]
        for query, rows in zip(queries, found, strict=True)
    ]


def _nearby(manifest: Manifest, database: Rows, queries: Rows) -> list[Rows]:
    _check_zones(manifest, np.concatenate([database, queries]))
    positions = metres_of(manifest)
    own = positions[np.concatenate([database, queries])]
    if (np.abs(own) > _FARTHEST_M).any():
        raise InvalidError(
            f"a position of {manifest.info.name} is {np.nanmax(np.abs(own)):g} m from the origin, "
            "which is not on the earth; correct easting and northing, which are metres"
        )
    unknown = np.isnan(own).any(axis=1)
    if unknown.any():
        raise InvalidError(
            f"{unknown.sum()} database or query images of {manifest.info.name} have no position; "
            "give easting and northing, or lat and lon"
        )
    return within_radius(positions[database], positions[queries], manifest.info.rule.radius_m)


def within_radius(
    database: Float[np.ndarray, "database 2"],
    queries: Float[np.ndarray, "queries 2"],
    radius_m: float,
) -> list[Int[np.ndarray, " _"]]:
    """Database rows at most `radius_m` metres from each query, ascending."""
    # Two dozen views share the position of one panorama: each position is looked up once.
    spots, spot_of_row = _spots(database)
    asked, asked_of_query = _spots(queries)
    pairs = cKDTree(asked).sparse_distance_matrix(
        cKDTree(spots), radius_m + _MICROMETRE, output_type="ndarray"
    )
    rows, taken = _members(spot_of_row, pairs["j"], len(spots))
    asking = pairs["i"][taken]
    rows = rows[np.lexsort((rows, asking))]
    ends = np.cumsum(np.bincount(asking, minlength=len(asked)))
    starts = np.concatenate([[0], ends[:-1]])
    return [
        rows[start:end]
        for start, end in zip(starts[asked_of_query], ends[asked_of_query], strict=True)
    ]


def _spots(
    positions: Float[np.ndarray, "rows 2"],
) -> tuple[Float[np.ndarray, "spots 2"], Rows]:
    """Distinct positions, and the number of each row's."""
    plane = np.ascontiguousarray(positions).view(np.complex128)[:, 0]
    spots, spot_of_row = np.unique(plane, return_inverse=True)
    return spots.view(np.float64).reshape(-1, 2), spot_of_row


def _members(group_of_row: Rows, groups: Rows, num_groups: int) -> tuple[Rows, Rows]:
    """Rows of one group after another, and for each row which place of `groups` it is for."""
    order = np.argsort(group_of_row, kind="stable")
    sizes = np.bincount(group_of_row, minlength=num_groups)
    starts = np.cumsum(sizes) - sizes
    taken = np.repeat(np.arange(len(groups)), sizes[groups])
    before = np.cumsum(sizes[groups]) - sizes[groups]
    return order[np.arange(len(taken)) + (starts[groups] - before)[taken]], taken


def within_frames(
    database: Int[np.ndarray, " database"], queries: Int[np.ndarray, " queries"], tolerance: int
) -> list[Int[np.ndarray, " _"]]:
    """Database rows whose frame is at most `tolerance` from that of each query, ascending."""
    order = np.argsort(database, kind="stable")
    ranked = database[order]
    first = np.searchsorted(ranked, queries - tolerance, "left")
    last = np.searchsorted(ranked, queries + tolerance, "right")
    return [np.sort(order[start:end]) for start, end in zip(first, last, strict=True)]


def turn(
    headings: Float[np.ndarray, " _"], others: float | Float[np.ndarray, " _"]
) -> Float[np.ndarray, " _"]:
    """Degrees from one heading to another the shorter way round, 0 to 180."""
    gaps: np.ndarray = np.abs((headings - others + 180) % 360 - 180)
    return gaps


def _equal(database: np.ndarray, queries: np.ndarray) -> list[Rows]:
    members: dict[str, list[int]] = {}
    for row, place in enumerate(database):
        members.setdefault(place, []).append(row)
    return [np.array(members.get(place, ()), dtype=np.int64) for place in queries]


def _listed(manifest: Manifest, database: Rows, queries: Rows) -> list[Rows]:
    """Look up the listed images; one that is not there is an error unless the set is partial."""
    image_ids = manifest.rows["image_id"].take(database).to_pylist()
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    lists = [own or [] for own in manifest.rows["positives"].take(queries).to_pylist()]
    absent = [image_id for own in lists for image_id in own if image_id not in row_of]
    if absent and not manifest.info.partial:
        raise InvalidError(
            f"{len(absent)} positives listed in {manifest.info.name} are no database images, "
            f"first {absent[0]!r}; are database and queries swapped?"
        )
    return [
        np.array(sorted({row_of[image_id] for image_id in own if image_id in row_of}), np.int64)
        for own in lists
    ]


def _known(manifest: Manifest, column: str, database: Rows, queries: Rows) -> np.ndarray:
    """Give a column that every database image and query must have a value in."""
    rows = np.concatenate([database, queries])
    absent = manifest.rows[column].take(rows).null_count
    if absent:
        raise InvalidError(
            f"{absent} database or query images of {manifest.info.name} have no {column}, which "
            f"its rule ({manifest.info.rule}) needs; give it in the table, or another rule"
        )
    return manifest.column(column)


def _check_zones(manifest: Manifest, rows: Rows) -> None:
    """Coordinates of two UTM zones look alike and are hundreds of kilometres apart."""
    zones = set(half_zones(manifest.rows["zone"].take(rows).unique()).to_pylist()) - {None}
    if len(zones) > 1:
        raise InvalidError(
            f"database and queries of {manifest.info.name} lie in UTM zones "
            f"{', '.join(sorted(map(str, zones)))}; project them into one, or say in a column "
            "`domain` which images are searched together"
        )
