"""Scan: images on disk -> manifest. Nothing is moved, renamed or changed."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vprcap.errors import InvalidError, MissingError
from vprcap.ground_truth.counts import count, differences, likely_cause
from vprcap.ground_truth.positives import build_task
from vprcap.manifests.external_sort import write_sorted
from vprcap.manifests.layouts.at import columns_of
from vprcap.manifests.layouts.folder import concatenated, roles_of, walk
from vprcap.manifests.layouts.kinds import read_layout
from vprcap.manifests.layouts.pairs import read_pairs
from vprcap.manifests.layouts.table import read_table, read_whole_table
from vprcap.manifests.manifest import (
    Manifest,
    ManifestInfo,
    build_manifest,
    image_path,
    write_manifest,
)
from vprcap.manifests.recipe import Recipe, load_recipe
from vprcap.manifests.rule import WITHIN_25_M, PositiveRule

logger = logging.getLogger(__name__)


def scan(
    images: Path,
    output: Path,
    *,
    table: Path | None = None,
    columns: Mapping[str, str] | None = None,
    pairs: Path | None = None,
    rule: PositiveRule = WITHIN_25_M,
) -> Path:
    """Write the manifest of a folder of images.

    With `table`, the table says which images belong to the set. Without one, every image below
    the folder does, and those with ``@`` names bring their positions with them.

    Args:
        images: image root.
        output: manifest to write.
        table: CSV or Parquet, see `vprcap.manifests.layouts.table`.
        columns: our column name -> the table's, where they differ.
        pairs: CSV or Parquet of positives, see `vprcap.manifests.layouts.pairs`; its rule is
            ``listed``.
        rule: what a positive is.

    Raises:
        MissingError: no such folder or table, or the table names only images that are not there.
        InvalidError: a table, pairs and a rule contradict one another.
    """
    if not images.is_dir():
        raise MissingError(f"no folder {images}; give the folder that holds the images")
    if table is None and columns:
        raise InvalidError("--column renames columns of a table; give --table as well")
    if pairs is not None:
        rule = _rule_of_pairs(rule)
    elif rule.kind == "listed":
        raise InvalidError("positives as listed need their list; give --pairs FILE")
    info = ManifestInfo(str(images.absolute()), output.stem, rule)
    if table is not None and pairs is None:
        return write_sorted(_present(read_table(table, columns or {}), info), info, output)
    # Pairs are looked up among all rows, so all are held.
    found = _read_folder(images) if table is None else read_whole_table(table, columns or {})
    if pairs is not None:
        found = _with_pairs(found, pairs)
    manifest = build_manifest(found, info)
    _check_present(manifest)
    if pairs is not None:
        _check_pairs(manifest, pairs)
    return write_manifest(manifest, output)


def _present(
    batches: Iterable[dict[str, pa.Array]], info: ManifestInfo
) -> Iterator[dict[str, pa.Array]]:
    """Pass rows on until the end, where at least one image must have been there."""
    num_rows, first, found = 0, "", False
    for columns in batches:
        ids = columns["image_id"]
        if num_rows == 0 and len(ids):
            first = str(ids[0])
        num_rows += len(ids)
        found = found or _any_present(ids, info)
        yield columns
    if num_rows and not found:
        raise _absent(info, num_rows, first)


def _with_pairs(found: dict[str, pa.Array], pairs: Path) -> dict[str, pa.Array]:
    """Add listed positives, and the roles of folders where nothing else says a role."""
    image_ids = found["image_id"]
    return {"role": roles_of(image_ids), **found, "positives": read_pairs(pairs, image_ids)}


def _rule_of_pairs(rule: PositiveRule) -> PositiveRule:
    if rule != WITHIN_25_M and rule.kind != "listed":
        raise InvalidError(f"--pairs lists the positives, so {rule} cannot hold; say one of them")
    return PositiveRule("listed")


def _check_pairs(manifest: Manifest, pairs: Path) -> None:
    """Refuse pairs whose first image is no query or whose second is no database image."""
    roles = manifest.rows["role"]
    no_query = pc.and_(
        pc.is_valid(manifest.rows["positives"]),
        pc.fill_null(pc.not_equal(roles, "query"), True),
    )
    strangers = manifest.rows["image_id"].filter(no_query)
    if len(strangers):
        raise InvalidError(
            f"{len(strangers)} images in column query of {pairs} are no queries, first "
            f"{strangers[0].as_py()!r}; are its columns swapped? Roles come from the table, or "
            "from folders named database and queries"
        )
    build_task(manifest)  # refuses positives that are no database images


def _read_folder(images: Path) -> dict[str, pa.Array]:
    folders = [folder for folder in walk(images) if len(folder.names)]
    num_images = sum(len(folder.names) for folder in folders)
    strays = [folder.image_ids.filter(_without_at(folder.names)) for folder in folders]
    num_strays = sum(map(len, strays))
    if num_images and not num_strays:
        return columns_of(folders)
    if num_strays < num_images:
        logger.warning(
            "%d of %d images below %s have no @ name, first %s; so none is read for its position: "
            "move them away, or give all positions in a --table",
            num_strays,
            num_images,
            images,
            ascii(concatenated(strays)[0].as_py()),
        )
    return {"image_id": concatenated(folder.image_ids for folder in folders)}


def _without_at(names: pa.Array) -> pa.Array:
    return pc.invert(pc.starts_with(names, "@"))


def _check_present(manifest: Manifest) -> None:
    """A list of images that are not there is a wrong folder, not a set of failures."""
    ids = manifest.rows["image_id"]
    if not _any_present(ids, manifest.info):
        raise _absent(manifest.info, len(ids), ids[0].as_py())


def _any_present(image_ids: Iterable[pa.StringScalar], info: ManifestInfo) -> bool:
    # One at a time: mostly the first exists. A row without a path is refused later.
    return any(
        each.is_valid and _exists(image_path(info.image_root, each.as_py())) for each in image_ids
    )


def _absent(info: ManifestInfo, num_rows: int, first: str) -> MissingError:
    return MissingError(
        f"none of the {num_rows} images of {info.name} is below {info.image_root}, first "
        f"{first!r}; paths must be relative to that folder"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for any file, or one with a NUL
        return False


def scan_dataset(
    dataset: str, root: Path, output: Path, *, split: str | None = None, allow_partial: bool = False
) -> Path:
    """Write the manifest of a split of a known dataset, after checking its counts.

    Args:
        dataset: a shipped recipe's name, or the path of one's own.
        root: the dataset's folder.
        output: manifest to write.
        split: part of the dataset; default: its recipe's.
        allow_partial: accept wrong counts, and label every later result with them.

    Raises:
        MissingError: none of the recipe's layouts is there.
        InvalidError: the counts differ and `allow_partial` is not set.
    """
    recipe = load_recipe(dataset)
    split = recipe.split(split)
    layout = recipe.layout(split, root)
    columns = read_layout(layout.kind, root, layout.fields)
    # Partial until its counts are known: only then may listed positives be absent.
    info = ManifestInfo(
        str(root.absolute()), recipe.set_name(split), recipe.rule, "counts not yet checked"
    )
    manifest = build_manifest(columns, info)
    _check_present(manifest)
    partial = _check_counts(manifest, recipe, split, allow_partial)
    return write_manifest(Manifest(manifest.rows, replace(info, partial=partial)), output)


def _check_counts(
    manifest: Manifest, recipe: Recipe, split: str, allow_partial: bool
) -> str | None:
    """Refuse counts that differ from verified ones, or say the difference; warn of others."""
    expected = recipe.splits[split]
    found = count(manifest, {**expected.unverified_counts, **expected.counts})
    unlike = differences(found, expected.unverified_counts)
    if unlike:
        logger.warning(
            "%s has %s, by a count that nobody verified; see `vprcap datasets show %s`",
            manifest.info.name,
            unlike,
            recipe.name,
        )
    partial = differences(found, expected.counts)
    if partial and not allow_partial:
        raise InvalidError(
            f"{manifest.info.name} under {manifest.info.image_root} has {partial}; likely cause: "
            f"{likely_cause(recipe, split, found)}; correct it, or say --allow-partial and every "
            "result will be labelled"
        )
    return partial
