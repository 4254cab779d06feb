"""Whether two images of a manifest may show one place: all that is known of them, put together.

Ground truth between queries and database is in `vprcap.ground_truth.positives`; this is about any
two images, and says yes where nothing is known.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Int

from vprcap.errors import InvalidError
from vprcap.manifests.manifest import Manifest, half_zones, metres_of

Pairs = Int[np.ndarray, " pairs"]
Answers = Bool[np.ndarray, " pairs"]
_Evidence = Callable[[Pairs, Pairs], tuple[Answers, Answers]]
"""Of pairs: which are known to show one place, and which are known not to."""


def same_place(manifest: Manifest) -> Callable[[Pairs, Pairs], Answers]:
    """Give a function that says of pairs of images whether they may show one place.

    They do if their place_id is equal, if they were taken within the positive radius (or frame
    tolerance), or if one is listed as the other's positive; they may if nothing is known. Names,
    metres and frames are those of one domain, and metres those of one UTM zone: images of two
    domains never show one place.

    Raises:
        InvalidError: of no image is anything known.
    """
    evidence = list(_evidence(manifest))
    if not evidence:
        raise InvalidError(
            f"{manifest.info.name} has neither place_id nor positions, so no image is known to "
            "show another place"
        )

    other_domain = _unequal(manifest.column("domain"))

    def compare(rows: Pairs, others: Pairs) -> Answers:
        same = np.zeros(len(rows), dtype=bool)
        different = np.zeros(len(rows), dtype=bool)
        for each in evidence:
            known_same, known_different = each(rows, others)
            same |= known_same
            different |= known_different
        different[same] = False
        different |= other_domain(rows, others)
        return ~different

    return compare


def _evidence(manifest: Manifest) -> Iterator[_Evidence]:
    places, domains = manifest.column("place_id"), manifest.column("domain")
    rule = manifest.info.rule
    metres = metres_of(manifest)
    frames = manifest.column("frame").astype(float)
    if any(place is not None for place in places):
        yield _by_name(places)
    if any(domain is not None for domain in domains):
        yield _nothing  # that two domains differ is known, and said above
    if not np.isnan(metres).all():
        yield _by_metres(metres, half_zones(manifest.rows["zone"]).to_numpy(), rule.radius_m)
    if rule.kind == "frames" and not np.isnan(frames).all():
        yield lambda rows, others: _by_gap(np.abs(frames[rows] - frames[others]), rule.frames)
    if rule.kind == "listed":
        yield _by_list(manifest)


def _by_name(names: np.ndarray) -> _Evidence:
    known = np.array([name is not None for name in names])

    def compare(rows: Pairs, others: Pairs) -> tuple[Answers, Answers]:
        both = known[rows] & known[others]
        equal = (names[rows] == names[others]).astype(bool)
        return both & equal, both & ~equal

    return compare


def _nothing(rows: Pairs, others: Pairs) -> tuple[Answers, Answers]:
    return np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)


def _unequal(names: np.ndarray) -> Callable[[Pairs, Pairs], Answers]:
    """Of pairs: whose names are both known, and are two."""
    compare = _by_name(names)
    return lambda rows, others: compare(rows, others)[1]


def _by_metres(metres: np.ndarray, zones: np.ndarray, radius_m: float) -> _Evidence:
    other_zone = _unequal(zones)

    def compare(rows: Pairs, others: Pairs) -> tuple[Answers, Answers]:
        gaps = np.linalg.norm(metres[rows] - metres[others], axis=1)
        return _by_gap(np.where(other_zone(rows, others), np.inf, gaps), radius_m)

    return compare


def _by_gap(gaps: np.ndarray, limit: float) -> tuple[Answers, Answers]:
    """An unknown gap is NaN, which is neither."""
    return gaps <= limit, gaps > limit


def _by_list(manifest: Manifest) -> _Evidence:
    rows = {image_id: row for row, image_id in enumerate(manifest.image_ids)}
    lists = manifest.rows["positives"].to_pylist()
    pairs = {
        (query, rows[image_id])
        for query, own in enumerate(lists)
        for image_id in own or ()
        if image_id in rows
    }
    listed = {query for query, own in enumerate(lists) if own is not None}
    database = set(manifest.rows_of("database").tolist())

    def compare(rows: Pairs, others: Pairs) -> tuple[Answers, Answers]:
        both = list(zip(rows.tolist(), others.tolist(), strict=True))
        same = np.array([(a, b) in pairs or (b, a) in pairs for a, b in both], dtype=bool)
        judged = np.array(
            [(a in listed and b in database) or (b in listed and a in database) for a, b in both],
            dtype=bool,
        )
        return same, judged & ~same

    return compare
