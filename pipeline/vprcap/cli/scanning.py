"""Commands from images to a plan: scan, shard."""

from pathlib import Path
from typing import Annotated

import typer

from vprcap.cli.options import CaptionsRoot, Dataset, Partial, Root, Split


def scan_command(
    images: Annotated[
        Path | None,
        typer.Argument(metavar="IMAGES", help="Folder of images; they stay where they are."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Manifest to write (Parquet); of a dataset by default among captions."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="CSV or Parquet with path, role and position or place_id.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="OURS=THEIRS where the table names a column otherwise.")
    ] = None,
    positives: Annotated[
        str,
        typer.Option(
            help="What a positive is: radius=25 (metres), radius=25,heading=40 (degrees), frames=2 "
            "or place (equal place_id)."
        ),
    ] = "radius=25",
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    allow_partial: Partial = False,
) -> None:
    """List images, where they were taken and what they are for.

    Example: vprcap scan london/ --table london/manifest.csv --output london.parquet
    """
    from vprcap.manifest import read_manifest
    from vprcap.rule import parse_rule
    from vprcap.workflows.prepare import Source, scan_source

    pairs = dict(_renaming(text) for text in column or [])
    source = Source(images, dataset, root, split, captions_root, allow_partial)
    written = scan_source(source, output, table=table, columns=pairs, rule=parse_rule(positives))
    manifest = read_manifest(written)
    database, queries = len(manifest.rows_of("database")), len(manifest.rows_of("query"))
    typer.echo(
        f"{written}: {manifest.rows.num_rows:,} images ({database:,} database, {queries:,} "
        f"queries), {manifest.info.rule}"
    )


def _renaming(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not (ours and equals and theirs):
        raise typer.BadParameter(f"{text!r} is not OURS=THEIRS, e.g. place_id=cell")
    return ours, theirs


def shard_command(
    manifest: Annotated[Path, typer.Argument(help="Manifest to cut into shards.")],
    shard_size: Annotated[int, typer.Option(help="Images in a shard.")] = 4096,
) -> None:
    """Freeze which images a run covers and how they are cut into shards.

    Example: vprcap shard london.parquet
    """
    from vprcap.plan import read_plan
    from vprcap.stages.shard import shard

    plan = read_plan(shard(manifest, shard_size=shard_size))
    typer.echo(f"{plan.path}: {plan.info.num_images:,} images in {len(plan.shards):,} shards")
