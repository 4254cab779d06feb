"""The command that captions."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vprcap.cli.options import (
    Array,
    BaseUrl,
    BatchSize,
    Captioner,
    CaptionsRoot,
    Constraint,
    Dataset,
    DecodeWorkers,
    Engine,
    Framing,
    Gpus,
    Images,
    ImageSide,
    Json,
    MaxMegapixels,
    MaxNewTokens,
    Model,
    Partial,
    Partition,
    PromptName,
    Quantization,
    RayAddress,
    Root,
    Split,
    Time,
    Workers,
)
from vprcap.cli.submitted import print_submitted

if TYPE_CHECKING:
    from vprcap.workflows.retry_flagged import Retried


def caption_command(
    manifest: Images = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captioner: Captioner = "transformers",
    model: Model = None,
    quantization: Quantization = "nf4",
    prompt: PromptName = "place",
    framing: Framing = "pad",
    base_url: BaseUrl = None,
    image_side: ImageSide = 336,
    max_new_tokens: MaxNewTokens = 128,
    temperature: Annotated[
        float, typer.Option(help="0 is greedy; above, captions are sampled, each by its own seed.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    batch_size: BatchSize = 16,
    decode_workers: DecodeWorkers = None,
    max_megapixels: MaxMegapixels = 50.0,
    timeout: Annotated[
        float, typer.Option(help="Seconds a batch may take before its images are tried alone.")
    ] = 1800.0,
    engine: Engine = "local",
    workers: Workers = None,
    partition: Partition = None,
    time: Time = None,
    gpus: Gpus = None,
    constraint: Constraint = None,
    array: Array = None,
    ray_address: RayAddress = None,
    no_reuse: Annotated[
        bool,
        typer.Option(
            "--no-reuse", help="Caption also images whose captions could be copied: to measure."
        ),
    ] = False,
    retry_flagged: Annotated[
        bool,
        typer.Option(
            "--retry-flagged",
            help="Then write flagged captions again, drawn at a temperature; keep what got better.",
        ),
    ] = False,
    flags: Annotated[
        str | None,
        typer.Option(help="Of --retry-flagged: only these, e.g. refusal,repetition; default: all."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N images, into a set of their own.")
    ] = None,
    allow_partial: Partial = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Scan and plan, say what would be done.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a caption for every image. Run it again after any interruption: it goes on.

    Example: vprcap caption --dataset pitts30k --root /data
    """
    from vprcap.caption_job import JobOptions, WorkOptions, open_job
    from vprcap.caption_sets.retried import parse_flags
    from vprcap.engines.options import EngineOptions
    from vprcap.engines.start import describe, start
    from vprcap.workflows.prepare import Source, prepare
    from vprcap.workflows.retry_flagged import Retried
    from vprcap.workflows.retry_flagged import retry_flagged as retry_flagged_captions

    run = EngineOptions(engine, workers, partition, time, gpus, constraint, array, ray_address)
    source = Source(manifest, dataset, root, split, captions_root, allow_partial)
    work = WorkOptions(
        batch_size, decode_workers, max_megapixels, timeout, reuse=not no_reuse, data_root=root
    )
    options = JobOptions(
        prepare(source),
        captions_root=captions_root,
        captioner=captioner,
        model=model,
        quantization=quantization,
        prompt=prompt,
        framing=framing,
        base_url=base_url,
        image_side=image_side,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        limit=limit,
    )
    job = open_job(options)
    if dry_run:
        _print_job(job.describe(), describe(options, work, run), as_json)
        return
    num_left = job.num_left
    if retry_flagged:
        retried = retry_flagged_captions(options, parse_flags(flags), work, run)
    else:
        retried = Retried(start(options, work, run))
    if retried.started.job_id is not None:
        print_submitted(retried.started, as_json)
        return
    _print_captions(retried.started.captions, num_left, as_json, retried)


def _print_job(
    description: dict[str, str | int | float | None], commands: str, as_json: bool
) -> None:
    if as_json:
        typer.echo(json.dumps({**description, "commands": commands}, indent=2))
        return
    for name, value in description.items():
        typer.echo(f"{name.replace('_', ' '):<20} {'unknown' if value is None else value}")
    typer.echo(f"\n{commands}")


def _print_captions(captions: Path, num_left: int, as_json: bool, retried: "Retried") -> None:
    from vprcap.caption_sets.captions import failed_rows, num_copied, status_counts

    counts, copied = status_counts(captions), num_copied(captions)
    if as_json:
        result = {"captions": str(captions), "statuses": counts, "copied": copied}
        again = {"flagged": retried.flagged, "better": retried.better}
        typer.echo(json.dumps(result | again if retried.flagged else result, indent=2))
        return
    total = f"{sum(counts.values()):,} images"
    if not num_left:
        typer.echo(f"nothing to do: all {total} have their rows")
    typer.echo(captions)
    typer.echo(f"{total}: " + ", ".join(f"{count:,} {status}" for status, count in counts.items()))
    if copied:
        typer.echo(f"{copied:,} of them copied from where the same image was captioned before")
    if retried.flagged:
        typer.echo(
            f"{retried.flagged:,} flagged; of their second captions, drawn at temperature "
            f"{retried.temperature:g}, {retried.better:,} are better and took their place"
        )
    if counts.keys() <= {"ok"}:
        return
    for row in failed_rows(captions, at_most=10):
        shown = ascii(row["image_id"])[1:-1]
        typer.echo(f"vprcap: {shown}: {row['status']}: {row['error']}", err=True)
