"""Commands that measure: eval, and demo, which does everything."""

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
    from vprcap.workflows.evaluation import evaluate_combiner
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
