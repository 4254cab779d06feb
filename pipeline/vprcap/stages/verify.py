"""Verify: look at everything a caption set holds, and say what is wrong with it.

Each file of rows is read once, page by page with its checksums, a row group at a time: its images
are those that the plan puts there, once and in order; its provenance is that of the set or, where a
flagged caption was written again, of a set in its `retries/`. Nothing is written nor repaired.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import PROVENANCE
from vprcap.caption_sets.findings import Findings
from vprcap.caption_sets.retried import retried_config_ids
from vprcap.caption_sets.shard_rows import cut, iter_rows, shards_of
from vprcap.caption_sets.summaries import read_summary
from vprcap.errors import InvalidError, StaleArtefactError, VprcapError
from vprcap.files import read_json, sha256_of
from vprcap.manifests.manifest import image_path
from vprcap.manifests.plan import Plan, Shard
from vprcap.progress import Progress

# Others may be absent: parts of an earlier version have fewer.
_LOOKED_AT = {"image_id", "image_sha256", "caption", "status", *PROVENANCE}
_READERS = 4
_FILES_AHEAD = 8


def verify(captions: CaptionSet, plan: Plan, *, deep: bool = False) -> Findings:
    """Verify a caption set against its plan.

    Args:
        captions: the set.
        plan: what it covers.
        deep: also hash every image again and compare.

    Raises:
        StaleArtefactError: the set is of another plan.
        MissingError: it is no caption set.
    """
    captions = captions.now()
    if captions.covers().plan_id != plan.info.plan_id:
        raise StaleArtefactError(
            f"{captions.root.name} covers plan {captions.covers().plan_id[:8]}, not "
            f"{plan.info.plan_id[:8]}; give the manifest that it was captioned from"
        )
    look = _Look(captions, plan, _provenance(captions, plan), retried_config_ids(captions), deep)
    found = Findings()
    with Progress("verifying", len(plan.shards), "shards") as progress:
        for one in look.at_files(found):
            found.merge(one)
            progress.advance(one.shards)
    return found


def _provenance(captions: CaptionSet, plan: Plan) -> dict[str, str]:
    """Return what every row must say of how it was made."""
    stored: dict[str, Any] = {**read_json(captions.config_json), "plan_id": plan.info.plan_id}
    try:
        return {name: stored[name] for name in PROVENANCE}
    except KeyError as absent:
        raise InvalidError(
            f"{captions.config_json} lacks {absent}; restore it: it says how the text was made"
        ) from None


@dataclass(frozen=True)
class _Look:
    """One look at a caption set, file by file."""

    captions: CaptionSet
    plan: Plan
    provenance: dict[str, str]
    retried: frozenset[str]
    """Other configurations that rows may be of: flagged captions were written again under them."""
    deep: bool

    def at_files(self, found: Findings) -> Iterator[Findings]:
        """Look at all files, several at once; note what is absent or foreign in `found`."""
        files = list(self._files(found))
        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, len(files), _FILES_AHEAD):
                yield from pool.map(self._at_file, files[start : start + _FILES_AHEAD])

    def _files(self, found: Findings) -> Iterator[tuple[Path, list[Shard]]]:
        """Yield each file of rows with the shards that it must hold."""
        left = {shard.name: shard for shard in self.plan.shards}
        for path in sorted(self.captions.data.iterdir()) if self.captions.data.is_dir() else ():
            try:
                held = self._held(path, left)
            except VprcapError as problem:
                found.add("damaged file", str(problem))
                continue
            if not held or any(shard.name not in left for shard in held):
                found.add("foreign file", path.name)
                continue
            for shard in held:
                del left[shard.name]
            yield path, held
        for shard in left.values():
            found.add("shard without rows", str(shard))

    def _held(self, path: Path, left: Mapping[str, Shard]) -> list[Shard]:
        if path.suffix == ".parquet" and path.name.startswith("rows-"):
            return shards_of(path, self.plan.info)
        return [left[path.stem]] if path.suffix == ".parquet" and path.stem in left else []

    def _at_file(self, file: tuple[Path, list[Shard]]) -> Findings:
        path, shards = file
        found = Findings(shards=len(shards), bytes=path.stat().st_size)
        tables = cut(iter_rows(path), self.plan.info.shard_size)
        try:
            for shard in shards:
                self._at_shard(shard, next(tables, None), path, found)
            for extra in tables:
                found.add("row of an image that is not planned", path.name, extra.num_rows)
        except VprcapError as problem:
            found.add("damaged file", str(problem))
        return found

    def _at_shard(self, shard: Shard, rows: pa.Table | None, path: Path, found: Findings) -> None:
        if rows is None:
            found.add("shard without rows", f"{shard}, in {path.name}")
            return
        absent = _LOOKED_AT - set(rows.column_names)
        if absent:
            found.add("damaged file", f"{path.name} has no column {min(absent)}")
            return
        found.rows += rows.num_rows
        compare_ids(rows["image_id"].combine_chunks(), self.plan.id_array(shard), found)
        for name, wanted in self.provenance.items():
            values = pc.unique(rows[name]).to_pylist()
            allowed = {wanted} | (self.retried if name == "config_id" else frozenset())
            if not set(values) <= allowed:
                found.add("provenance differs", f"{path.name}: {name} {_short(values, wanted)}")
        _compare_summary(self.captions.summary(shard), rows["status"], found)
        _check_captions(rows, found)
        if self.deep:
            self._hash_images(rows, found)

    def _hash_images(self, rows: pa.Table, found: Findings) -> None:
        read = rows.filter(pc.is_valid(rows["image_sha256"]))
        hashes = zip(read["image_id"].to_pylist(), read["image_sha256"].to_pylist(), strict=True)
        for image_id, wanted in hashes:
            found.images_hashed += 1
            try:
                now = sha256_of(image_path(self.plan.info.image_root, image_id))
            except OSError as problem:
                found.add("image is gone", f"{ascii(image_id)}: {problem.strerror}")
                continue
            if now != wanted:
                found.add("image changed", ascii(image_id))


def compare_ids(ids: pa.Array, planned: pa.Array, found: Findings) -> None:
    """Note where the images of a shard's rows are not those of the plan, once each and in order."""
    if ids.equals(planned):
        return
    have, wanted = Counter(ids.to_pylist()), set(planned.to_pylist())
    before = found.counts.total()
    for image_id in sorted(wanted - have.keys()):
        found.add("image without a row", ascii(image_id))
    for image_id, count in have.items():
        if image_id not in wanted:
            found.add("row of an image that is not planned", ascii(image_id), count)
        elif count > 1:
            found.add("second row of an image", ascii(image_id), count - 1)
    if found.counts.total() == before:
        found.add("rows in another order", ascii(planned[0].as_py()))


def _short(values: list[Any], wanted: str) -> str:
    others = [str(value)[:40] for value in values if value != wanted]
    return f"{', '.join(others[:3])}, not {wanted[:40]}"


def _compare_summary(path: Path, statuses: pa.ChunkedArray, found: Findings) -> None:
    summary = read_summary(path)
    if summary is not None and summary.statuses != Counter(statuses.to_pylist()):
        found.add("summary differs", path.name)


def _check_captions(rows: pa.Table, found: Findings) -> None:
    empty = pc.and_(pc.equal(rows["status"], "ok"), pc.is_null(rows["caption"]))
    for image_id in rows.filter(empty)["image_id"].to_pylist():
        found.add("row ok without caption", ascii(image_id))
