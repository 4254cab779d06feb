"""Check: from what a user names (a manifest, a folder, a dataset) to the health of its images."""

from collections.abc import Mapping
from pathlib import Path

from vprcap.errors import InvalidError
from vprcap.images import MAX_MEGAPIXELS
from vprcap.manifests.rule import WITHIN_25_M, PositiveRule
from vprcap.stages.check import check, check_limits
from vprcap.workflows.prepare import Source, scan_source


def scan_and_check(
    source: Source,
    output: Path | None,
    *,
    table: Path | None = None,
    columns: Mapping[str, str] | None = None,
    pairs: Path | None = None,
    rule: PositiveRule = WITHIN_25_M,
    decode_workers: int | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Path:
    """Check the images of a manifest that is there, or of what is scanned first; return it.

    Args:
        source: a manifest, a folder of images or a dataset.
        output: as those below, see `vprcap.workflows.prepare.scan_source`.
        table: not of a manifest, which knows its images.
        columns: not of a manifest.
        pairs: not of a manifest.
        rule: not of a manifest.
        decode_workers: see `vprcap.stages.check.check`.
        max_megapixels: see there.
    """
    check_limits(decode_workers, max_megapixels)  # before a manifest is written
    manifest = source.path
    if manifest is None or manifest.is_dir() or source.dataset is not None:
        manifest = scan_source(source, output, table=table, columns=columns, pairs=pairs, rule=rule)
    elif any((output, table, columns, pairs)) or rule != WITHIN_25_M:
        raise InvalidError(
            f"{manifest} is no folder to scan; give nothing else beside a manifest and --check"
        )
    check(manifest, decode_workers=decode_workers, max_megapixels=max_megapixels)
    return manifest
