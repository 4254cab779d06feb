"""Report: from a run or one of its evaluations to a page that shows it."""

from pathlib import Path

from vprcap.errors import MissingError
from vprcap.evaluation.provenance import read_provenance
from vprcap.evaluation.stored import find_evaluation
from vprcap.stages.report import report
from vprcap.workflows.prepare import Source, find_manifest


def report_evaluation(
    path: Path,
    source: Source | None = None,
    output: Path | None = None,
    *,
    num_queries: int,
    follow_links: bool = False,
) -> Path:
    """Write the report of an evaluation and return its path.

    Args:
        path: an evaluation, or a run that has one.
        source: the set; default: the manifest that the evaluation says it is of.
        output: default: ``report.html`` beside the results.
        num_queries: how many queries are shown with pictures, at most.
        follow_links: whether images may be links out of the image root.
    """
    evaluation = find_evaluation(path)
    manifest = _manifest_of(evaluation) if source is None else find_manifest(source)
    return report(
        evaluation,
        manifest,
        output or evaluation / "report.html",
        num_queries=num_queries,
        follow_links=follow_links,
    )


def _manifest_of(evaluation: Path) -> Path:
    made_of = read_provenance(evaluation)
    if made_of is None:
        raise MissingError(f"{evaluation} does not say of which set it is; name it: --manifest")
    manifest = Path(made_of.manifest)
    if not manifest.is_file():
        raise MissingError(
            f"{evaluation} is of {manifest}, which is gone; say where it is now: --manifest"
        )
    return manifest
