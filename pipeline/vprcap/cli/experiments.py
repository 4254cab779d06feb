"""Commands from captions to recalls: train, eval, demo."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vprcap.cli.options import (
    Captions,
    CaptionsRoot,
    Dataset,
    FeaturesRoot,
    Images,
    Json,
    Partial,
    Root,
    Split,
)


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
