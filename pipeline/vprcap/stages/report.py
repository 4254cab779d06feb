"""Report: an evaluation and its manifest -> one HTML file that shows what was found, and why."""

from pathlib import Path

from vprcap.evaluation.stored import read_evaluation
from vprcap.ground_truth.health import twins_of
from vprcap.ground_truth.positives import build_task
from vprcap.manifests.manifest import read_manifest
from vprcap.pages import write_page
from vprcap.pages.report import report_values

NUM_QUERIES = 200


def report(
    evaluation: Path,
    manifest: Path,
    output: Path,
    *,
    num_queries: int = NUM_QUERIES,
    follow_links: bool = False,
) -> Path:
    """Write the report of an evaluation and return its path.

    Args:
        evaluation: folder with ``results.json`` and ``per_query.parquet``.
        manifest: the set that was evaluated; its images are where it says.
        output: HTML file to write.
        num_queries: how many queries are shown with pictures, at most.
        follow_links: whether images may be links out of the image root.

    Raises:
        MissingError: a file is not there.
        StaleArtefactError: the evaluation is not of this manifest as it is now.
    """
    stored = read_evaluation(evaluation)
    loaded = read_manifest(manifest)
    dropped = stored.provenance is not None and stored.provenance.without_twins
    task = build_task(loaded, without=twins_of(manifest) if dropped else [])
    values = report_values(loaded, task, stored, num_queries, follow_links=follow_links)
    return write_page(output, "report", values)
