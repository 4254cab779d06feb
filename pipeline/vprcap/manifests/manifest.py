"""The manifest: one row per image of a set, where it was taken and what it is for.

A Parquet file, sorted by image_id. Images stay where they are: `image_id` is the path relative
to the image root, with forward slashes, and is the key everywhere. What the file's rows cannot
say (image root, ground-truth rule, whether counts matched) is in its schema metadata.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.files import replacing
from vprcap.manifests.rule import PositiveRule

MANIFEST_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("role", pa.string()),  # "database", "query", or null: training images need none
        ("easting", pa.float64()),  # metres
        ("northing", pa.float64()),  # metres
        ("zone", pa.string()),  # UTM zone such as "30U"; null where the source does not say
        ("heading_deg", pa.float64()),  # compass, 0 <= heading < 360
        ("place_id", pa.string()),  # images of one place; the class in training
        ("sequence", pa.string()),  # one drive; what the bootstrap resamples
        ("condition", pa.string()),  # such as night; recalls are also reported by it
        ("domain", pa.string()),  # a city: a query is searched among images of its own only
        ("frame", pa.int64()),  # number along a traversal
        ("positives", pa.list_(pa.string())),  # of a query, where ground truth is a list
    ]
)
_PART_ROWS = 1 << 16
ROLES = ("database", "query")
# A NUL, or a part that is empty, "." or "..": two spellings of one image would be two images.
# Three patterns, because each begins with what is rare in a path: half the time of one.
_NOT_A_PLAIN_PATH = (r"/\.{0,2}(/|$)", r"^\.{0,2}(/|$)", r"\x00")
# The letter of a zone is its latitude band: C to M lie south of the equator, N to X north of it.
_SOUTHERN, _NORTHERN = "^([0-9]+)[C-HJ-Mc-hj-m]$", "^([0-9]+)[NP-Xnp-x]$"
_METADATA_KEY = b"vprcap.manifest"


@dataclass(frozen=True, slots=True)
class ManifestInfo:
    """What holds for a whole manifest."""

    image_root: str
    """Absolute folder that every image_id is relative to."""
    name: str
    """What results call this set, e.g. ``pitts30k-test``."""
    rule: PositiveRule = PositiveRule()
    partial: str | None = None
    """Why results on this set are not comparable, e.g. ``1000 of 10000 database images``."""


@dataclass(frozen=True)
class Manifest:
    """Rows (MANIFEST_SCHEMA, sorted by image_id) and what holds for all of them."""

    rows: pa.Table
    info: ManifestInfo

    @property
    def image_ids(self) -> list[str]:
        """Image ids in row order."""
        ids: list[str] = self.rows["image_id"].to_pylist()
        return ids

    def rows_of(self, role: str) -> np.ndarray:
        """Row numbers of the images with this role, ascending."""
        return np.flatnonzero(pc.fill_null(pc.equal(self.rows["role"], role), False).to_numpy())

    def column(self, name: str) -> np.ndarray:
        """One column as an array in row order; nulls become NaN or None."""
        values: np.ndarray = self.rows[name].to_numpy()
        return values


def build_manifest(columns: dict[str, pa.Array], info: ManifestInfo) -> Manifest:
    """Check, complete and sort columns into a manifest.

    Raises:
        InvalidError: no images, duplicate ids, an id that leaves the root, or an unknown role.
    """
    if not len(columns["image_id"]):
        raise InvalidError(f"no images found for {info.name!r} under {info.image_root}")
    rows = complete_rows(columns).sort_by("image_id")
    check_rows(rows)
    return Manifest(rows, info)


def complete_rows(columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """Bring columns into the manifest's schema; those that are absent are null."""
    num_rows = len(columns["image_id"])
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(num_rows, field.type)
        for field in MANIFEST_SCHEMA
    ]
    return pa.table(arrays, schema=MANIFEST_SCHEMA)


def check_rows(rows: pa.Table) -> None:
    """Refuse rows, sorted by image_id, that cannot be a manifest's.

    Raises:
        InvalidError: duplicate ids, an id that leaves the root, or an unknown role.
    """
    _check_ids(rows["image_id"])
    _check_roles(rows["role"])


def _check_ids(ids: pa.ChunkedArray) -> None:
    if ids.null_count:
        raise InvalidError(
            f"at least {ids.null_count} rows have no path; fill them in or drop them"
        )
    repeated = pc.filter(ids[1:], pc.equal(ids[1:], ids[:-1]))
    if len(repeated):
        raise InvalidError(
            f"at least {len(repeated)} image ids occur twice, first {repeated[0].as_py()!r}; "
            "keep one row for each image"
        )
    check_plain(ids)


def check_plain(ids: pa.ChunkedArray) -> None:
    """Refuse image ids that leave the image root, or that could be spelled otherwise.

    Raises:
        InvalidError: the first that does.
    """
    found = [pc.index(pc.match_substring_regex(ids, each), True) for each in _NOT_A_PLAIN_PATH]
    suspects = [row.as_py() for row in found if row.as_py() >= 0]
    if suspects:
        raise InvalidError(
            f"path {ids[min(suspects)].as_py()!r} leaves the image root or is not in its plain "
            "form; give paths relative to it, with forward slashes, without ./ and //"
        )


def _check_roles(roles: pa.ChunkedArray) -> None:
    unknown = set(pc.unique(roles).to_pylist()) - {*ROLES, None}
    if unknown:
        raise InvalidError(
            f"unknown role {sorted(unknown)[0]!r}; a role is 'database', 'query' or empty"
        )


def write_manifest(manifest: Manifest, path: Path) -> Path:
    """Write a manifest, whole or not at all."""
    refuse_to_overwrite(path)
    with replacing(path) as temporary:
        rows = manifest.rows.replace_schema_metadata(schema_metadata(manifest.info))
        pq.write_table(rows, temporary, compression="zstd")
    return path


def schema_metadata(info: ManifestInfo) -> dict[bytes, bytes]:
    """Give what holds for a whole manifest as the metadata of its Parquet schema."""
    return {_METADATA_KEY: json.dumps(asdict(info)).encode()}


def refuse_to_overwrite(path: Path) -> None:
    """Refuse a mistyped output, which would turn somebody's table or photograph into a manifest.

    Raises:
        InvalidError: there is a file that is no manifest.
    """
    if not path.exists():
        return
    try:
        read_manifest_info(path)
    except (InvalidError, MissingError):
        raise InvalidError(f"{path} exists and is no manifest; choose another --output") from None


def metres_of(manifest: Manifest) -> Float[np.ndarray, "images 2"]:
    """Easting and northing in metres, in row order; NaN where unknown."""
    return np.stack([manifest.column("easting"), manifest.column("northing")], axis=1)


def half_zones(zones: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Part of a UTM zone whose metres run on: ``34`` (north, or no letter), ``34 south``, or null.

    They run on across latitude bands, but not across zone numbers nor the equator.
    """
    southern = pc.replace_substring_regex(zones, _SOUTHERN, r"\1 south")
    return pc.replace_substring_regex(southern, _NORTHERN, r"\1")


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        MissingError: there is no such file.
        InvalidError: it is not a manifest.
    """
    with _opened(path) as file:
        rows = file.read()
        info = _info(file.schema_arrow, path)
    # One that was written before a column was invented has nulls there.
    columns = {name: rows[name] for name in rows.schema.names if name in MANIFEST_SCHEMA.names}
    return Manifest(complete_rows(columns), info)


def read_manifest_info(path: Path) -> tuple[ManifestInfo, int]:
    """Read what holds for a whole manifest, and its number of images, but none of them.

    Raises:
        MissingError: there is no such file.
        InvalidError: it is not a manifest.
    """
    with _opened(path) as file:
        return _info(file.schema_arrow, path), file.metadata.num_rows


def iter_column(path: Path, name: str) -> Iterator[pa.Array]:
    """Read one column of a manifest, a part at a time, in row order.

    Raises:
        MissingError: there is no such file.
        InvalidError: it is not a manifest.
    """
    with _opened(path) as file:
        _info(file.schema_arrow, path)
        for batch in file.iter_batches(_PART_ROWS, columns=[name]):
            yield batch[name].cast(MANIFEST_SCHEMA.field(name).type)


def iter_image_ids(path: Path) -> Iterator[pa.Array]:
    """Read the image ids of a manifest, a part at a time, in order; see `iter_column`."""
    return iter_column(path, "image_id")


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    if not path.is_file():
        raise MissingError(
            f"no manifest at {path}; write one with `vprcap scan IMAGES --output {path}`"
        )
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as problem:
        raise InvalidError(
            f"{path} is not a readable manifest ({first_line(problem)}); scan again"
        ) from None


def _info(schema: pa.Schema, path: Path) -> ManifestInfo:
    metadata = (schema.metadata or {}).get(_METADATA_KEY)
    if metadata is None:
        raise InvalidError(f"{path} is Parquet but no manifest; write one with `vprcap scan`")
    stored = json.loads(metadata)
    radius_m = stored.pop("positive_radius_m", None)  # how manifests said it before rules
    rule = {"radius_m": radius_m} if radius_m else stored.pop("rule", {})
    return ManifestInfo(**stored, rule=PositiveRule(**rule))


def image_path(image_root: str | Path, image_id: str) -> Path:
    """Return where an image lies."""
    return Path(image_root, *PurePosixPath(image_id).parts)
