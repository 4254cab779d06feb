"""Commands that write what people look at: a report, and figures for papers."""

from pathlib import Path
from typing import Annotated

import typer

from vprcap.cli.options import CaptionsRoot, Dataset, FollowLinks, Root, Split


def report_command(
    evaluation: Annotated[
        Path, typer.Argument(metavar="RUN|EVALUATION", help="A run, or the results of one set.")
    ] = Path("runs/combiner"),
    manifest: Annotated[
        Path | None, typer.Option(help="The set; default: the one that was evaluated.")
    ] = None,
    dataset: Dataset = None,
    root: Root = None,
    split: Split = None,
    captions_root: CaptionsRoot = None,
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; default: report.html in the results.")
    ] = None,
    queries: Annotated[
        int, typer.Option(min=0, help="How many queries to show with their pictures.")
    ] = 200,
    follow_links: FollowLinks = False,
) -> None:
    """Write one page that shows what was retrieved, which words were believed, and where.

    Example: vprcap report runs/gsv --out report.html
    """
    from vprcap.errors import InvalidError
    from vprcap.workflows.prepare import Source
    from vprcap.workflows.reporting import report_evaluation

    named = manifest is not None or dataset is not None
    if not named and (split is not None or captions_root is not None):
        raise InvalidError("--split and --captions-root belong to --manifest or --dataset")
    source = Source(manifest, dataset, root, split, captions_root) if named else None
    typer.echo(
        report_evaluation(evaluation, source, out, num_queries=queries, follow_links=follow_links)
    )


def plot_command(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS...", help="Runs, evaluations, folders of --ablate dims or --corrupt."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for figures and table.")] = Path("figures"),
) -> None:
    """Draw recall, length and corruption curves as SVG and PDF, and write a table for LaTeX.

    Example: vprcap plot runs/gsv runs/no-text --out figures
    """
    from vprcap.workflows.plotting import plot_results

    for path in plot_results(results, out):
        typer.echo(path)
