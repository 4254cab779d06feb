"""The command that captions."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vprcap.cli.options import CaptionsRoot, Dataset, Images, Json, Partial, Root, Split


def caption_command(
    manifest: Images = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captioner: Annotated[
        str,
        typer.Option(
            help="transformers; labels of an image classifier, the control without a language "
            "model; or fake for a rehearsal."
        ),
    ] = "transformers",
    model: Annotated[
        str | None,
        typer.Option(
            help="Hub name, directory, or packaged:tiny-llava (demonstration); "
            "default: llava-hf/llava-1.5-7b-hf. Of labels: a classifier's hub name or directory; "
            "default: packaged:efficientnet-lite0. Of fake: its faults, e.g. latency=0.02,oom=8."
        ),
    ] = None,
    quantization: Annotated[
        str, typer.Option(help="nf4, int8 or none; labels ignores it.")
    ] = "nf4",
    prompt: Annotated[
        str, typer.Option(help="A shipped prompt, or a text file; labels has none.")
    ] = "place",
    framing: Annotated[str, typer.Option(help="pad keeps the whole picture; crop the centre.")] = (
        "pad"
    ),
    max_new_tokens: Annotated[
        int, typer.Option(help="Longest caption, in tokens; not of labels.")
    ] = 128,
    batch_size: Annotated[int, typer.Option(help="Images a batch; halved when out of memory.")] = (
        16
    ),
    decode_workers: Annotated[
        int | None, typer.Option(help="Processes that decode; default: up to 4.")
    ] = None,
    max_megapixels: Annotated[
        float, typer.Option(help="Larger images are not decoded; raise it with --retry-failed.")
    ] = 50.0,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N images, into a set of their own.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Make the rows again that are not ok.")
    ] = False,
    allow_partial: Partial = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Scan and plan, say what would be done.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a caption for every image. Run it again after any interruption: it goes on.

    Example: vprcap caption --dataset pitts30k --root /data
    """
    from vprcap.caption_job import JobOptions, WorkOptions, open_job, reopen_failed
    from vprcap.stages.caption import caption
    from vprcap.workflows.prepare import Source, prepare

    source = Source(manifest, dataset, root, split, captions_root, allow_partial)
    work = WorkOptions(batch_size, decode_workers, max_megapixels)
    job = open_job(
        JobOptions(
            prepare(source),
            captions_root=captions_root,
            captioner=captioner,
            model=model,
            quantization=quantization,
            prompt=prompt,
            framing=framing,
            max_new_tokens=max_new_tokens,
            limit=limit,
        )
    )
    if dry_run:
        _print_job(job.describe(), as_json)
        return
    if retry_failed:
        job = reopen_failed(job)
    num_left = job.num_left
    caption(job, work)
    _print_captions(job.captions.root, num_left, as_json)


def _print_job(description: dict[str, str | int | float | None], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(description, indent=2))
        return
    for name, value in description.items():
        typer.echo(f"{name.replace('_', ' '):<20} {'unknown' if value is None else value}")


def _print_captions(captions: Path, num_left: int, as_json: bool) -> None:
    from vprcap.captions import failed_rows, status_counts

    counts = status_counts(captions)
    if as_json:
        typer.echo(json.dumps({"captions": str(captions), "statuses": counts}, indent=2))
        return
    total = f"{sum(counts.values()):,} images"
    if not num_left:
        typer.echo(f"nothing to do: all {total} have their rows")
    typer.echo(captions)
    typer.echo(f"{total}: " + ", ".join(f"{count:,} {status}" for status, count in counts.items()))
    if counts.keys() <= {"ok"}:
        return
    for row in failed_rows(captions, at_most=10):
        shown = ascii(row["image_id"])[1:-1]
        typer.echo(f"vprcap: {shown}: {row['status']}: {row['error']}", err=True)
