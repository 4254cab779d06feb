"""Commands from images to a plan: scan, shard."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vprcap.cli.options import CaptionsRoot, Dataset, Json, Partial, Root, Split


def scan_command(
    images: Annotated[
        Path | None,
        typer.Argument(metavar="IMAGES", help="Folder of images; or a manifest, to check."),
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
    pairs: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet with query and database: lists the positives."),
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
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Decode every image (of a manifest too) and say what is wrong with any."
        ),
    ] = False,
    decode_workers: Annotated[
        int | None, typer.Option(help="Processes that check; default: one for each CPU.")
    ] = None,
    max_megapixels: Annotated[
        float, typer.Option(help="Larger images are not decoded by a check.")
    ] = 50.0,
    as_json: Json = False,
) -> None:
    """List images, where they were taken and what they are for; check them with --check.

    Example: vprcap scan london/ --table london/manifest.csv --output london.parquet
    """
    from vprcap.manifests.rule import parse_rule
    from vprcap.workflows.health import scan_and_check
    from vprcap.workflows.prepare import Source, scan_source

    source = Source(images, dataset, root, split, captions_root, allow_partial)
    columns = dict(_renaming(text) for text in column or [])
    rule = parse_rule(positives)
    if check:
        written = scan_and_check(
            source,
            output,
            table=table,
            columns=columns,
            pairs=pairs,
            rule=rule,
            decode_workers=decode_workers,
            max_megapixels=max_megapixels,
        )
    else:
        written = scan_source(source, output, table=table, columns=columns, pairs=pairs, rule=rule)
    _print_manifest(written, check, as_json)


def _print_manifest(path: Path, checked: bool, as_json: bool) -> None:
    from collections import Counter

    from vprcap.ground_truth.health import health_path, read_health, summarise, to_text
    from vprcap.manifests.manifest import iter_column, read_manifest_info

    info, num_images = read_manifest_info(path)
    roles = Counter(role for part in iter_column(path, "role") for role in part.to_pylist())
    health = {"path": str(health_path(path)), **summarise(read_health(path))} if checked else None
    if as_json:
        counts = {"images": num_images, "database": roles["database"], "queries": roles["query"]}
        found = {"manifest": str(path), **counts, "rule": str(info.rule), "health": health}
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(
        f"{path}: {num_images:,} images ({roles['database']:,} database, {roles['query']:,} "
        f"queries), {info.rule}"
    )
    if health is not None:
        typer.echo(f"{health['path']}: {to_text(health)}")


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
    from vprcap.manifests.plan import read_plan
    from vprcap.stages.shard import shard

    plan = read_plan(shard(manifest, shard_size=shard_size))
    typer.echo(f"{plan.path}: {plan.info.num_images:,} images in {len(plan.shards):,} shards")
