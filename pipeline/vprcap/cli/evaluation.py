"""Commands that measure: eval, and demo, which does everything."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    command_line,
)

if TYPE_CHECKING:
    from vprcap.evaluation.corruption import Corruption


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
    corrupt: Annotated[
        str | None,
        typer.Option(
            help="Make captions wrong: none, shuffle, wrong-place, drop-words, inject-objects, "
            "swap-colours, truncate or other-prompt; without --strength a curve over strengths."
        ),
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="Share of captions (or words) made wrong, 0 to 1.")
    ] = None,
    other_captions: Annotated[
        Path | None, typer.Option(help="The caption set that other-prompt takes captions from.")
    ] = None,
    ablation: Annotated[
        str | None,
        typer.Option("--ablate", help="Compare variants of the run: gates, fusions or dims."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds of a curve or an ablation.")] = 3,
    drop_twins: Annotated[
        bool,
        typer.Option(
            "--drop-twins",
            help="Evaluate again without database images that are a copy of a query, and compare; "
            "after `scan MANIFEST --check`.",
        ),
    ] = False,
    descriptors: Annotated[
        Path | None,
        typer.Option(
            help="Score what VPR-methods-evaluation saved: a folder of database_descriptors.npy "
            "and queries_descriptors.npy."
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(help="Of --descriptors: one path a row, database first, then queries."),
    ] = None,
    allow_partial: Partial = False,
    as_json: Json = False,
) -> None:
    """Report recall@K in every query mode, or what wrong captions or other parts change.

    Example: vprcap eval --dataset pitts30k --root /data
    """
    from vprcap.errors import InvalidError
    from vprcap.workflows.ablation import ablate
    from vprcap.workflows.evaluation import evaluate_combiner, evaluate_saved
    from vprcap.workflows.prepare import Source
    from vprcap.workflows.robustness import corruption_curve

    source = Source(manifest, dataset, root, split, captions_root, allow_partial)
    if descriptors is not None:
        _refuse_beside_descriptors(captions, corrupt, ablation, drop_twins or None)
        _print_report(
            evaluate_saved(source, descriptors, output, names=names, command=command_line()),
            as_json,
        )
        return
    if names is not None:
        raise InvalidError("--names says whose the rows of --descriptors FOLDER are; give both")
    corruption = _corruption(corrupt, strength, other_captions, ablation)
    single = ablation is None and (corrupt in (None, "none") or strength is not None)
    if drop_twins and not single:
        raise InvalidError("--drop-twins is for one evaluation, not for a curve or --ablate")
    if ablation is not None:
        compared = ablate(
            source,
            run,
            output,
            what=ablation,
            num_seeds=seeds,
            captions=captions,
            features_root=features_root,
            corruption=corruption,
        )
        _print_comparison(compared, as_json)
    elif single:
        results = evaluate_combiner(
            source,
            run,
            output,
            captions=captions,
            features_root=features_root,
            corruption=corruption,
            drop_twins=drop_twins,
            command=command_line(),
        )
        if drop_twins:
            _print_twins(results, as_json)
        else:
            _print_report(results, as_json)
    else:
        curve = corruption_curve(
            source,
            run,
            output,
            kind=str(corrupt),
            num_seeds=seeds,
            captions=captions,
            other_captions=other_captions,
            features_root=features_root,
        )
        _print_comparison(curve, as_json)
        typer.echo(f"vprcap: plot in {curve.with_suffix('.svg')}", err=True)


def _refuse_beside_descriptors(*options: object) -> None:
    from vprcap.errors import InvalidError

    if any(option is not None for option in options):
        raise InvalidError(
            "--descriptors are scored as they are; leave out --captions, --corrupt, --ablate "
            "and --drop-twins"
        )


def _corruption(
    kind: str | None, strength: float | None, other_captions: Path | None, ablation: str | None
) -> "Corruption | None":
    """Say what is to be done to captions: nothing, one strength; of a curve nothing yet."""
    from vprcap.errors import InvalidError
    from vprcap.evaluation.corruption import Corruption

    if kind is None:
        if strength is not None or other_captions is not None:
            raise InvalidError("--strength and --other-captions belong to --corrupt KIND")
        return None
    if ablation is not None and strength is None:
        raise InvalidError(f"say how much: --ablate {ablation} --corrupt {kind} --strength 0.3")
    corruption = Corruption(kind, 1.0 if strength is None else strength, 0, other_captions)
    return None if kind == "none" else corruption


def _print_report(results: Path, as_json: bool) -> None:
    from vprcap.evaluation.report import report_from_json
    from vprcap.files import read_json

    report = read_json(results)
    typer.echo(json.dumps(report, indent=2) if as_json else report_from_json(report).to_text())


def _print_twins(path: Path, as_json: bool) -> None:
    from vprcap.evaluation.twin_effect import twin_effect_from_json
    from vprcap.files import read_json

    stored = read_json(path)
    typer.echo(json.dumps(stored, indent=2) if as_json else twin_effect_from_json(stored).to_text())


def _print_comparison(path: Path, as_json: bool) -> None:
    from vprcap.evaluation.comparison import comparison_from_json
    from vprcap.files import read_json

    stored = read_json(path)
    typer.echo(json.dumps(stored, indent=2) if as_json else comparison_from_json(stored).to_text())


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
