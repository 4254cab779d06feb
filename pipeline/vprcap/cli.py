"""The command line: flags in, one stage or workflow called, a few lines out.

Results go to stdout, progress and warnings to stderr. Errors of ours become one line and exit
code 1; a stop signal ends with 128 plus its number, as shells expect. Heavy modules are imported
inside the commands, so that `--help` is quick.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vprcap.errors import Interrupted, VprcapError

app = typer.Typer(
    name="vprcap",
    help="Write captions for visual place recognition, fuse them with images, measure the gain.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Root = Annotated[
    Path | None,
    typer.Option(envvar="VPRCAP_DATA", help="Folder that holds the datasets, one folder each."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Dataset = Annotated[
    str | None, typer.Option(help="A dataset that vprcap knows, e.g. pitts30k, in --root.")
]
Split = Annotated[str | None, typer.Option(help="Part of the dataset; default: its recipe's.")]
CaptionsRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of caption sets; default: captions/ in the image root."),
]
Partial = Annotated[
    bool,
    typer.Option("--allow-partial", help="Accept wrong counts and label every result with them."),
]
Images = Annotated[
    Path | None, typer.Argument(metavar="[MANIFEST]", help="A manifest, or a folder of images.")
]


@app.command("scan")
def scan_command(
    images: Annotated[Path, typer.Argument(help="Folder of images; they stay where they are.")],
    output: Annotated[Path, typer.Option(help="Manifest to write (Parquet).")],
    table: Annotated[
        Path | None, typer.Option(help="CSV or Parquet with path, role and position or place_id.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="OURS=THEIRS where the table names a column otherwise.")
    ] = None,
) -> None:
    """List images, where they were taken and what they are for.

    Example: vprcap scan london/ --table london/manifest.csv --output london.parquet
    """
    from vprcap.manifest import read_manifest
    from vprcap.stages.scan import scan

    pairs = dict(_renaming(text) for text in column or [])
    manifest = read_manifest(scan(images, output, table=table, columns=pairs))
    database, queries = len(manifest.rows_of("database")), len(manifest.rows_of("query"))
    typer.echo(
        f"{output}: {manifest.rows.num_rows:,} images ({database:,} database, {queries:,} queries)"
    )


def _renaming(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not (ours and equals and theirs):
        raise typer.BadParameter(f"{text!r} is not OURS=THEIRS, e.g. place_id=cell")
    return ours, theirs


@app.command("shard")
def shard_command(
    manifest: Annotated[Path, typer.Argument(help="Manifest to cut into shards.")],
    output: Annotated[Path | None, typer.Option(help="Plan; default: beside the manifest.")] = None,
    shard_size: Annotated[int, typer.Option(help="Images in a shard.")] = 4096,
) -> None:
    """Freeze which images a run covers and how they are cut into shards.

    Example: vprcap shard london.parquet
    """
    from vprcap.plan import read_plan
    from vprcap.stages.shard import shard

    plan = read_plan(shard(manifest, output=output, shard_size=shard_size))
    typer.echo(f"{plan.path}: {plan.info.num_images:,} images in {len(plan.shards):,} shards")


@app.command("caption")
def caption_command(
    manifest: Images = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captioner: Annotated[str, typer.Option(help="transformers, or fake for a rehearsal.")] = (
        "transformers"
    ),
    model: Annotated[
        str, typer.Option(help="Hub name, directory, or packaged:tiny-llava (demonstration).")
    ] = "llava-hf/llava-1.5-7b-hf",
    quantization: Annotated[str, typer.Option(help="nf4, int8 or none.")] = "nf4",
    prompt: Annotated[str, typer.Option(help="A shipped prompt, or a text file.")] = "place",
    framing: Annotated[str, typer.Option(help="pad keeps the whole picture; crop the centre.")] = (
        "pad"
    ),
    max_new_tokens: Annotated[int, typer.Option(help="Longest caption, in tokens.")] = 128,
    batch_size: Annotated[int, typer.Option(help="Images a batch; halved when out of memory.")] = (
        16
    ),
    decode_workers: Annotated[
        int | None, typer.Option(help="Processes that decode; default: up to 4.")
    ] = None,
    max_megapixels: Annotated[float, typer.Option(help="Larger images are not decoded.")] = 50.0,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N images, into a set of their own.")
    ] = None,
    allow_partial: Partial = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a caption for every image. Run it again after any interruption: it goes on.

    Example: vprcap caption --dataset pitts30k --root /data
    """
    from vprcap.stages.caption import caption, open_job
    from vprcap.workflows.prepare import Source, prepare

    source = Source(manifest, dataset, root, split, captions_root, allow_partial)
    job = open_job(
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
    if dry_run:
        _print_job(job.describe(), as_json)
        return
    num_left = job.num_left
    caption(
        job, batch_size=batch_size, decode_workers=decode_workers, max_megapixels=max_megapixels
    )
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
    for row in failed_rows(captions, at_most=10):
        shown = ascii(row["image_id"])[1:-1]
        typer.echo(f"vprcap: {shown}: {row['status']}: {row['error']}", err=True)


FeaturesRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of cached features; default: features/ in the image root."),
]
Captions = Annotated[
    Path | None, typer.Option(help="Caption set to use, where the captions root holds several.")
]


@app.command("train")
def train_command(
    manifest: Images = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captions: Captions = None,
    features_root: FeaturesRoot = None,
    image_encoder: Annotated[
        str, typer.Option(help="Hub name, directory, or packaged:dinov2-s-saliency; @8: layer 8.")
    ] = "facebook/dinov2-base",
    text_encoder: Annotated[
        str, typer.Option(help="Hub name, directory, or packaged:minilm-l6.")
    ] = "sentence-transformers/all-MiniLM-L6-v2",
    output: Annotated[Path, typer.Option(help="Folder of the trained combiner.")] = Path(
        "runs/combiner"
    ),
    descriptor_dim: Annotated[int, typer.Option(help="Length of the descriptor.")] = 512,
    epochs: Annotated[int, typer.Option(help="Passes over the places, at most.")] = 10,
    seed: Annotated[int, typer.Option(help="Decides weights, split and batches.")] = 0,
    allow_partial: Partial = False,
) -> None:
    """Train the combiner of text and image on a captioned set with places.

    Example: vprcap train --dataset gsv-cities --root /data
    """
    from vprcap.training import TrainConfig
    from vprcap.workflows.experiment import Encoders, train_combiner
    from vprcap.workflows.prepare import Source

    run = train_combiner(
        Source(manifest, dataset, root, split, captions_root, allow_partial),
        output,
        encoders=Encoders(image_encoder, text_encoder),
        captions=captions,
        features_root=features_root,
        descriptor_dim=descriptor_dim,
        config=TrainConfig(epochs=epochs, seed=seed),
    )
    typer.echo(run)


@app.command("eval")
def eval_command(
    manifest: Images = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    captions: Captions = None,
    features_root: FeaturesRoot = None,
    run: Annotated[Path, typer.Option(help="Folder of the trained combiner.")] = Path(
        "runs/combiner"
    ),
    output: Annotated[
        Path | None, typer.Option(help="Folder for the results; default: in the run.")
    ] = None,
    shuffle_captions: Annotated[
        bool, typer.Option("--shuffle-captions", help="Control: every image gets a wrong caption.")
    ] = False,
    allow_partial: Partial = False,
    as_json: Json = False,
) -> None:
    """Report recall@K image-only, text-only and fused, with intervals.

    Example: vprcap eval --dataset pitts30k --root /data
    """
    from vprcap.files import read_json
    from vprcap.report import report_from_json
    from vprcap.workflows.experiment import evaluate_combiner
    from vprcap.workflows.prepare import Source

    results = evaluate_combiner(
        Source(manifest, dataset, root, split, captions_root, allow_partial),
        run,
        output,
        captions=captions,
        features_root=features_root,
        shuffle_captions=shuffle_captions,
    )
    report = read_json(results)
    typer.echo(json.dumps(report, indent=2) if as_json else report_from_json(report).to_text())


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for everything that is made.")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Run the whole job on a city drawn on the spot: no GPU, no hub, no data.

    Example: vprcap demo --out /tmp/demo
    """
    from vprcap.files import read_json
    from vprcap.workflows.demo import demo, summarise

    results = read_json(demo(out))
    typer.echo(json.dumps(results, indent=2) if as_json else summarise(results))


def main() -> NoReturn:
    """Run the command line."""
    # Spinning OpenMP threads make small models on few cores tens of times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(format="vprcap: %(message)s", level=logging.WARNING)
    try:
        app(standalone_mode=True)
    except Interrupted as stopped:
        print(f"vprcap: {stopped}", file=sys.stderr)
        raise SystemExit(stopped.exit_code) from None
    except VprcapError as error:
        print(f"vprcap: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    raise SystemExit(0)
