"""The plan: which images a caption set covers and how they are cut into shards, frozen once.

A Parquet file whose row group k *is* shard k, so one shard is read without touching the others.
Images are never listed again on resume: a set that grew or shrank is reported, not mixed in.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vprcap.errors import InvalidError, MissingError, StaleArtefactError
from vprcap.files import fingerprint, replacing
from vprcap.manifests.manifest import iter_image_ids, read_manifest_info
from vprcap.manifests.sorted_ids import compare

SHARD_SIZE = 4096
_SCHEMA = pa.schema([("image_id", pa.string())])
_METADATA_KEY = b"vprcap.plan"


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`. The count is in the name, so another cut can never mix in."""

    index: int
    count: int

    @property
    def name(self) -> str:
        """Stem of every file that belongs to this shard."""
        return f"part-{self.index:05d}-of-{self.count:05d}"

    def __str__(self) -> str:
        return f"shard {self.index} of {self.count}"


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """What identifies a plan."""

    plan_id: str
    """Hex SHA-256 of the image ids in order and the shard size."""
    image_root: str
    num_images: int
    shard_size: int

    @property
    def shards(self) -> list[Shard]:
        """All shards in order."""
        count = -(-self.num_images // self.shard_size)
        return [Shard(index, count) for index in range(count)]

    def num_rows(self, shard: Shard) -> int:
        """Images in one shard; only the last shard may have fewer than the others."""
        return min(self.shard_size, self.num_images - shard.index * self.shard_size)


@dataclass(frozen=True, slots=True)
class Plan:
    """A frozen plan on disk."""

    path: Path
    info: PlanInfo

    @property
    def shards(self) -> list[Shard]:
        """All shards in order."""
        return self.info.shards

    def num_rows(self, shard: Shard) -> int:
        """Images in one shard; only the last shard may have fewer than the others."""
        return self.info.num_rows(shard)

    def image_ids(self, shard: Shard) -> list[str]:
        """Image ids of one shard, in plan order."""
        ids: list[str] = self.id_array(shard).to_pylist()
        return ids

    def id_array(self, shard: Shard) -> pa.Array:
        """Image ids of one shard as Arrow holds them, in plan order."""
        try:
            metadata = _metadata(self.path, self.path.stat().st_mtime_ns)
            with pq.ParquetFile(self.path, metadata=metadata) as file:
                ids = file.read_row_group(shard.index)["image_id"].combine_chunks()
        except (pa.ArrowException, OSError):
            raise _damaged(self.path) from None
        return ids[: self.num_rows(shard)]

    def first(self, num_images: int) -> "Plan":
        """Return the plan of the first images only: a small set of its own, for a look."""
        if num_images < 1:
            raise InvalidError(f"--limit {num_images} is too small; it must be at least 1")
        if num_images >= self.info.num_images:
            return self
        plan_id = fingerprint([self.info.plan_id, num_images])
        return Plan(self.path, replace(self.info, plan_id=plan_id, num_images=num_images))


@lru_cache(maxsize=1)
def _metadata(path: Path, modified: int) -> pq.FileMetaData:
    """Read a plan's footer, once: that of 24,415 shards takes longer to read than a shard."""
    return pq.read_metadata(path)


def freeze_plan(manifest: Path, path: Path, shard_size: int = SHARD_SIZE) -> Plan:
    """Write the plan of a manifest, a part at a time: neither has to fit into memory.

    Raises:
        StaleArtefactError: another plan is there already; plans are frozen.
    """
    if shard_size < 1:
        raise InvalidError(f"--shard-size {shard_size} is too small; it must be at least 1")
    of_set, num_images = read_manifest_info(manifest)
    plan_id = _plan_id(iter_image_ids(manifest), shard_size)
    info = PlanInfo(plan_id, of_set.image_root, num_images, shard_size)
    if path.exists():
        _refuse_another(read_plan(path), info)
        return Plan(path, info)
    schema = _SCHEMA.with_metadata({_METADATA_KEY: json.dumps(asdict(info)).encode()})
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for ids in _whole_shards(iter_image_ids(manifest), shard_size):
            writer.write_table(pa.table([ids], schema=schema), row_group_size=shard_size)
    return Plan(path, info)


def _whole_shards(parts: Iterable[pa.Array], shard_size: int) -> Iterator[pa.Array]:
    """Cut parts anew so that only the last ends within a shard."""
    held = pa.array([], pa.string())
    for part in parts:
        held = pa.concat_arrays([held, part])
        whole = len(held) - len(held) % shard_size
        if whole:
            yield held[:whole]
            held = held[whole:]
    if len(held):
        yield held


def _refuse_another(existing: Plan, info: PlanInfo) -> None:
    if existing.info.plan_id != info.plan_id:
        raise StaleArtefactError(
            f"{existing.path} is a plan of {existing.info.num_images} images in shards of "
            f"{existing.info.shard_size}, not of {info.num_images} in shards of "
            f"{info.shard_size}; a plan is frozen: move it away, or give the manifest another name"
        )


def _plan_id(parts: Iterable[pa.Array], shard_size: int) -> str:
    digest = hashlib.sha256(f"{shard_size}\n".encode())
    for ids in parts:
        # Ids hold no newline-ambiguity: JSON quotes each one.
        quoted = map(encode_basestring_ascii, ids.to_pylist())
        digest.update("".join(f"{each}\n" for each in quoted).encode())
    return digest.hexdigest()


def read_plan(path: Path) -> Plan:
    """Read a plan's identity; the ids stay on disk until a shard asks for them."""
    if not path.is_file():
        raise MissingError(f"no plan at {path}; freeze one with `vprcap shard MANIFEST`")
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError):
        raise _damaged(path) from None
    if _METADATA_KEY not in metadata:
        raise InvalidError(f"{path} is Parquet but no plan; freeze one with `vprcap shard`")
    return Plan(path, PlanInfo(**json.loads(metadata[_METADATA_KEY])))


def plan_path(manifest_path: Path) -> Path:
    """Return where the plan of a manifest lies by default: beside it."""
    return manifest_path.with_name(f"{manifest_path.stem}.plan.parquet")


def drift(plan: Plan, manifest: Path) -> tuple[int, int]:
    """Count the images that a manifest has gained and lost since its plan was frozen.

    A manifest that was last written before its plan is not read: 10^8 ids take many seconds.

    Raises:
        StaleArtefactError: the plan is of images in another folder.
    """
    image_root = read_manifest_info(manifest)[0].image_root
    if plan.info.image_root != image_root:
        raise StaleArtefactError(
            f"plan {plan.path} is of images in {plan.info.image_root}, the manifest of images in "
            f"{image_root}; move the plan away, or give the manifest another name"
        )
    added = lost = 0
    if manifest.stat().st_mtime_ns < plan.path.stat().st_mtime_ns:
        return added, lost
    for new, gone in compare(iter_image_ids(manifest), _planned(plan.path)):
        added, lost = added + len(new), lost + len(gone)
    return added, lost


def _planned(path: Path) -> Iterator[pa.Array]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["image_id"]):
                yield batch["image_id"]
    except (pa.ArrowException, OSError):
        raise _damaged(path) from None


def _damaged(path: Path) -> InvalidError:
    return InvalidError(f"{path} is not a readable plan; remove it and shard again")
