"""Plot: from what a user names (runs, evaluations, comparisons) to figures."""

from collections.abc import Sequence
from pathlib import Path

from vprcap.evaluation.stored import RESULTS, find_evaluation
from vprcap.stages.plot import plot

_COMPARED = ("curve.json", "comparison.json")


def plot_results(paths: Sequence[Path], output: Path) -> list[Path]:
    """Draw runs, evaluations, ablations and corruption curves; return the files."""
    return plot([_file_of(path) for path in paths], output)


def _file_of(path: Path) -> Path:
    """Return the file of results that a folder holds, or `path` itself."""
    if not path.is_dir():
        return path
    for name in _COMPARED:
        if (path / name).is_file():
            return path / name
    return find_evaluation(path) / RESULTS
