"""The command that trains the combiner."""

from pathlib import Path
from typing import Annotated

import typer

from vprcap.cli.options import (
    Captions,
    CaptionsRoot,
    Dataset,
    FeaturesRoot,
    Images,
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
    from vprcap.workflows.material import Encoders
    from vprcap.workflows.prepare import Source
    from vprcap.workflows.training import train_combiner

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
