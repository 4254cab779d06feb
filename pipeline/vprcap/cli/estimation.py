"""The command that says what captioning will take."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vprcap.cli.options import (
    BaseUrl,
    BatchSize,
    Captioner,
    CaptionsRoot,
    Dataset,
    DecodeWorkers,
    Framing,
    Images,
    ImageSide,
    Json,
    MaxMegapixels,
    MaxNewTokens,
    Model,
    Partial,
    PromptName,
    Quantization,
    Root,
    Split,
)

if TYPE_CHECKING:
    from vprcap.workflows.estimation import Extrapolation


def estimate_command(
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
    batch_size: BatchSize = 16,
    decode_workers: DecodeWorkers = None,
    max_megapixels: MaxMegapixels = 50.0,
    images: Annotated[int, typer.Option(min=1, help="Size of the sample.")] = 64,
    workers: Annotated[
        int, typer.Option(min=1, help="Workers (GPUs) that will share the work.")
    ] = 1,
    usd_per_hour: Annotated[
        float | None, typer.Option(min=0, help="Price of one worker for an hour, in US dollars.")
    ] = None,
    allow_partial: Partial = False,
    as_json: Json = False,
) -> None:
    """Caption a sample and say what all images will take: hours, GPU-hours, dollars.

    Example: vprcap estimate --dataset pitts30k --workers 8 --usd-per-hour 2.5
    """
    from vprcap.caption_job import JobOptions, WorkOptions
    from vprcap.workflows.estimation import estimate
    from vprcap.workflows.prepare import Source, prepare

    result = estimate(
        JobOptions(
            prepare(Source(manifest, dataset, root, split, captions_root, allow_partial)),
            captions_root=captions_root,
            captioner=captioner,
            model=model,
            quantization=quantization,
            prompt=prompt,
            framing=framing,
            base_url=base_url,
            image_side=image_side,
            max_new_tokens=max_new_tokens,
        ),
        WorkOptions(
            batch_size=batch_size, decode_workers=decode_workers, max_megapixels=max_megapixels
        ),
        num_images=images,
    )
    if as_json:
        cost = usd_per_hour and [usd_per_hour * each for each in result.hours]
        typer.echo(json.dumps({**result.to_json(), "workers": workers, "usd": cost}, indent=2))
    else:
        typer.echo("\n".join(_lines(result, workers, usd_per_hour)))


def _lines(result: "Extrapolation", workers: int, usd_per_hour: float | None) -> Iterator[str]:
    speed, on_gpu = result.speed, result.device != "cpu"
    statuses = ", ".join(f"{count:,} {status}" for status, count in result.statuses.items())
    yield (
        f"measured      {result.images_measured:,} images ({statuses}) on {result.device}, "
        f"in batches of {result.batch_size}; {speed.num_batches} batches timed after the first"
    )
    rates = [1 / speed.seconds, 1 / speed.high, 1 / speed.low]
    yield f"speed         {_interval(rates)} images/s a worker"
    yield f"decoding      {1 / result.decode_seconds:,.4g} images/s, by the decoders of one worker"
    yield f"weights       {result.load_seconds:.1f} s to load, not in the hours"
    yield f"left          {result.images_left:,} images"
    yield f"{'GPU-hours' if on_gpu else 'worker-hours':<13} {_interval(result.hours)}"
    if workers > 1:
        each = [hours / workers for hours in result.hours]
        yield f"hours         {_interval(each)} with {workers} workers like this one"
    if usd_per_hour is not None:
        yield f"US dollars    {_interval([usd_per_hour * hours for hours in result.hours])}"
    yield "intervals are 95 %, over the batches timed; they say nothing of other machines"


def _interval(values: Sequence[float]) -> str:
    middle, low, high = values
    return f"{middle:,.4g} [{low:,.4g}, {high:,.4g}]"
