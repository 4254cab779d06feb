"""The commands that look after caption sets: status, verify, compact, retry."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vprcap.cli.options import (
    Array,
    BatchSize,
    Captions,
    CaptionsRoot,
    Constraint,
    Dataset,
    DecodeWorkers,
    Engine,
    Gpus,
    Json,
    MaxMegapixels,
    OfSet,
    Partition,
    RayAddress,
    Root,
    Split,
    Time,
    Workers,
)
from vprcap.cli.submitted import print_submitted

if TYPE_CHECKING:
    from vprcap.workflows.prepare import Source


def status_command(
    manifest: OfSet = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captions: Captions = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every few seconds until all is done.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")
    ] = 10.0,
    prometheus: Annotated[
        Path | None,
        typer.Option(help="Also write a text file for Prometheus' node_exporter, e.g. x.prom."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is captioned, who works on what, how fast, and how much longer.

    Example: vprcap status --dataset pitts30k --watch
    """
    from vprcap.caption_sets.prometheus import write_prometheus
    from vprcap.caption_sets.status import read_status
    from vprcap.cli.status_lines import status_lines
    from vprcap.workflows.caption_sets import find_set

    found = find_set(_source(manifest, dataset, root, split, captions_root), captions)
    while True:
        status = read_status(found)
        if prometheus is not None:
            write_prometheus(status, prometheus)
        if watch and sys.stdout.isatty():
            typer.echo("\033[H\033[2J", nl=False)  # home, and clear
        typer.echo(json.dumps(status.to_json()) if as_json else "\n".join(status_lines(status)))
        if not watch or not status.images_left:
            return
        try:
            time.sleep(every)
        except KeyboardInterrupt:  # how one stops watching
            return


def verify_command(
    manifest: OfSet = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captions: Captions = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read every image and compare its hash.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a caption set against its plan; end with 1 and a table if anything is wrong.

    Example: vprcap verify --dataset pitts30k --deep
    """
    from vprcap.caption_sets.findings import REMEDIES
    from vprcap.cli.status_lines import table
    from vprcap.stages.verify import verify
    from vprcap.workflows.caption_sets import open_set

    known = open_set(_source(manifest, dataset, root, split, captions_root), captions)
    found = verify(known.captions, known.plan, deep=deep)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        looked = f"{found.rows:,} rows of {found.shards:,} shards, {found.bytes:,} bytes"
        hashed = f", {found.images_hashed:,} images hashed" if deep else ""
        typer.echo(f"{known.captions.root}: {looked}{hashed}")
        rows = [
            (kind, f"{count:,}", found.examples[kind][0], REMEDIES[kind])
            for kind, count in found.counts.most_common()
        ]
        lines = table(("problem", "count", "first", "what to do"), rows)
        typer.echo("\n".join(lines) if rows else "nothing is wrong")
    if found.counts:
        raise typer.Exit(1)


def compact_command(
    manifest: OfSet = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captions: Captions = None,
    as_json: Json = False,
) -> None:
    """Bring the rows of a finished caption set into few large files; never in place.

    The parts are kept until the next compaction: run it again when nobody reads them any more.

    Example: vprcap compact --dataset pitts30k
    """
    from vprcap.stages.compact import compact
    from vprcap.workflows.caption_sets import open_set

    known = open_set(_source(manifest, dataset, root, split, captions_root), captions)
    removed = [str(path) for path in compact(known.captions, known.plan)]
    data = known.captions.data
    sizes = [path.stat().st_size for path in known.captions.files()]
    if as_json:
        result = {"data": str(data), "files": len(sizes), "bytes": sum(sizes), "removed": removed}
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(data)
    typer.echo(f"{known.plan.info.num_images:,} rows in {len(sizes):,} files, {sum(sizes):,} bytes")
    for path in removed:
        typer.echo(f"removed {path}")


def retry_command(
    manifest: OfSet = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captions: Captions = None,
    where: Annotated[
        str, typer.Option(help="Which rows: status=NAME[,NAME...] or status!=NAME.")
    ] = "status!=ok",
    prompt: Annotated[
        str | None, typer.Option(help="The set's prompt, where it is a file of your own.")
    ] = None,
    batch_size: BatchSize = 16,
    decode_workers: DecodeWorkers = None,
    max_megapixels: MaxMegapixels = 50.0,
    engine: Engine = "local",
    workers: Workers = None,
    partition: Partition = None,
    time: Time = None,
    gpus: Gpus = None,
    constraint: Constraint = None,
    array: Array = None,
    ray_address: RayAddress = None,
    as_json: Json = False,
) -> None:
    """Make rows again, as the set was made; by default those that are not ok.

    Example: vprcap retry --dataset pitts30k --where status=oom,timeout
    """
    from vprcap.caption_job import WorkOptions
    from vprcap.caption_sets.captions import status_counts
    from vprcap.caption_sets.row_filter import parse_filter
    from vprcap.engines.options import EngineOptions
    from vprcap.workflows.retry import retry

    started, num_rows = retry(
        _source(manifest, dataset, root, split, captions_root),
        captions,
        parse_filter(where),
        WorkOptions(
            batch_size=batch_size, decode_workers=decode_workers, max_megapixels=max_megapixels
        ),
        EngineOptions(engine, workers, partition, time, gpus, constraint, array, ray_address),
        prompt=prompt,
    )
    if started.job_id is not None:
        print_submitted(started, as_json, rows_to_make_again=num_rows)
        return
    folder = started.captions
    counts = status_counts(folder)
    if as_json:
        result = {"captions": str(folder), "rows_made_again": num_rows, "statuses": counts}
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(folder)
    now = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    typer.echo(f"{num_rows:,} rows made again; now {now}")


def _source(
    path: Path | None,
    dataset: str | None,
    root: Path | None,
    split: str | None,
    captions_root: Path | None,
) -> "Source":
    from vprcap.workflows.prepare import Source

    return Source(path, dataset, root, split, captions_root)
