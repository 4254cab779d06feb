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
    adapt: Annotated[
        str,
        typer.Option(
            help="Adapters that are trained in the encoders: none (stored features, for CPUs), "
            "bottleneck, or multiconv (images only; the text encoder gets bottleneck)."
        ),
    ] = "none",
    adapter_blocks: Annotated[
        int | None, typer.Option(help="Image blocks with adapters, from the last; default: all.")
    ] = None,
    adapter_norm: Annotated[
        bool, typer.Option("--adapter-norm", help="Group normalisation inside the adapters.")
    ] = False,
    no_captions: Annotated[
        bool, typer.Option("--no-captions", help="Train on images alone.")
    ] = False,
    image_size: Annotated[
        str, typer.Option(help="Pixels that the image encoder sees, height x width.")
    ] = "224x294",
    epochs: Annotated[int, typer.Option(help="Passes over the places, at most.")] = 10,
    patience: Annotated[int, typer.Option(help="Epochs without a better one, then stop.")] = 5,
    places_per_batch: Annotated[int, typer.Option(help="Places in a batch.")] = 32,
    accumulate: Annotated[int, typer.Option(help="Batches whose gradients make one step.")] = 1,
    patches_kept: Annotated[
        float, typer.Option(help="Share of its patches that a training image shows.")
    ] = 0.3,
    learning_rate: Annotated[
        float, typer.Option(help="Peak rate of what starts at random in the combiner.")
    ] = 5e-4,
    fitted_learning_rate: Annotated[
        float, typer.Option(help="Peak rate of what was fitted in closed form.")
    ] = 1e-4,
    adapter_learning_rate: Annotated[float, typer.Option(help="Peak rate of adapters.")] = 3e-4,
    precision: Annotated[str, typer.Option(help="Mixed precision: no, bf16 or fp16.")] = "no",
    seed: Annotated[int, typer.Option(help="Decides weights, split and batches.")] = 0,
    allow_partial: Partial = False,
) -> None:
    """Train the combiner of text and image on a captioned set with places.

    Run the same command again after an interruption: it goes on where it was saved.

    Example: vprcap train --dataset gsv-cities --root /data
    Example: accelerate launch -m vprcap train --dataset gsv-cities --adapt bottleneck
    """
    from vprcap.encoders import parse_size
    from vprcap.encoders.adapters import AdapterConfig
    from vprcap.training import TrainConfig
    from vprcap.workflows.material import Encoders
    from vprcap.workflows.prepare import Source
    from vprcap.workflows.training import train_combiner

    adapters = None if adapt == "none" else AdapterConfig(adapt, adapter_norm, adapter_blocks)
    run = train_combiner(
        Source(manifest, dataset, root, split, captions_root, allow_partial),
        output,
        encoders=Encoders(image_encoder, text_encoder, parse_size(image_size)),
        captions=captions,
        without_captions=no_captions,
        features_root=features_root,
        descriptor_dim=descriptor_dim,
        adapters=adapters,
        config=TrainConfig(
            epochs=epochs,
            patience=patience,
            places_per_batch=places_per_batch,
            accumulate=accumulate,
            patches_kept=patches_kept,
            learning_rate=learning_rate,
            fitted_learning_rate=fitted_learning_rate,
            adapter_learning_rate=adapter_learning_rate,
            precision=precision,
            seed=seed,
        ),
    )
    typer.echo(run)
