"""Import captions: somebody else's caption file and a manifest with a plan -> caption set.

What comes out is a caption set like any other, written part by part under the same leases, so that
training and evaluation take it as they take our own. Nobody here read the images that the captions
were made from: rows say nothing of their bytes or sizes.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from vprcap.caption_sets.caption_set import CaptionConfig, CaptionSet
from vprcap.caption_sets.captions import build_table, check_part, commit_part
from vprcap.commit_protocol.lease import claim
from vprcap.errors import BusyError, InvalidError, MissingError
from vprcap.exchange.caption_rows import CaptionFile
from vprcap.exchange.joined import join_captions
from vprcap.exchange.lavpr import read_lavpr
from vprcap.exchange.text4vpr import read_text4vpr
from vprcap.files import sha256_of, write_json
from vprcap.manifests.manifest import read_manifest
from vprcap.manifests.plan import Plan, Shard, plan_path, read_plan
from vprcap.progress import Progress

JOIN_REPORT = "join.json"
"""The account of the file's rows, in the folder of the caption set."""


def import_captions(file: Path, manifest: Path, *, captions_root: Path | None = None) -> Path:
    """Make a caption set of somebody else's captions and return its folder.

    Args:
        file: a caption CSV (LaVPR) or a workbook (Text4VPR, Street360Loc).
        manifest: its plan says which images have a row; one without caption is ``missing``.
        captions_root: folder of caption sets; default: ``captions/`` in the image root.

    Raises:
        MissingError: file or plan are not there, or the file lacks a column.
        InvalidError: it cannot be read, gives an image two captions, or names no image at all.
        BusyError: another process imports the same.
    """
    plan = read_plan(plan_path(manifest))
    read = _read(file)
    image_ids = [name for shard in plan.shards for name in plan.image_ids(shard)]
    captions, report = join_captions(read, image_ids)
    config = _config(file)
    root = captions_root or Path(plan.info.image_root) / "captions"
    name = f"{read_manifest(manifest).info.name}-{config.set_name}"
    caption_set = CaptionSet(root / name)
    caption_set.check(config, asdict(plan.info))
    caption_set.create(config, asdict(plan.info))
    write_json(caption_set.root / JOIN_REPORT, report.to_json())
    with Progress("importing", plan.info.num_images, "images") as progress:
        for shard in plan.shards:
            _import_shard(caption_set, plan, shard, config, captions)
            progress.advance(plan.num_rows(shard))
    return caption_set.root


def _read(file: Path) -> CaptionFile:
    if not file.is_file():
        raise MissingError(f"no file {file}; name a caption CSV or an .xlsx workbook")
    match file.suffix.lower():
        case ".csv":
            return read_lavpr(file)
        case ".xlsx":
            return read_text4vpr(file)
    raise InvalidError(f"{file} is neither .csv nor .xlsx; save it as one of them")


def _config(file: Path) -> CaptionConfig:
    """Describe what is known of how the text was made: whose file it is from."""
    return CaptionConfig(
        captioner="imported",
        model=file.name,
        revision=sha256_of(file),
        quantization="none",
        prompt_name="imported",
        prompt="",
        max_new_tokens=0,
        framing="none",
        processor={},
        dtype="none",
    )


def _import_shard(
    caption_set: CaptionSet,
    plan: Plan,
    shard: Shard,
    config: CaptionConfig,
    captions: dict[str, str],
) -> None:
    if caption_set.part(shard).exists():
        check_part(caption_set.part(shard), plan.num_rows(shard), plan.info.plan_id)
        return
    lease = claim(caption_set.lease(shard))
    if lease is None:
        raise BusyError(f"{shard} of {caption_set.root.name} is held by another run; wait for it")
    with lease:
        rows = [_row(name, captions.get(name), config.model) for name in plan.image_ids(shard)]
        table = build_table(rows, config, plan.info.plan_id)
        commit_part(caption_set, shard, lease.token, table)


def _row(image_id: str, caption: str | None, file: str) -> dict[str, Any]:
    found = caption is not None
    return {
        "image_id": image_id,
        "caption": caption,
        "status": "ok" if found else "missing",
        "error": None if found else f"no caption in {file}",
        "qa_flags": [],
    }
