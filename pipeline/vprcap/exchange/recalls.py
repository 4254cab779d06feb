"""The recalls of several evaluations in one JSON: what a table of a paper is made from.

Each entry says what makes its recalls comparable or not: the set, its rule, its counts, whether it
was partial, and in `variant` what was changed on purpose (corrupted captions, an ablation).
"""

from pathlib import Path
from typing import Any

from vprcap.errors import InvalidError, MissingError
from vprcap.evaluation.report import RecallReport, report_from_json
from vprcap.files import read_json, write_json


def write_recalls(source: Path, output: Path) -> Path:
    """Gather recalls.

    Args:
        source: a ``results.json``, or a folder with such files in it, at any depth.
        output: JSON to write: a list, in the order of the files' paths.

    Raises:
        MissingError: there is none.
        InvalidError: one is no recall report, or was written by an older vprcap.
    """
    files = sorted(source.rglob("results.json")) if source.is_dir() else [source]
    if not files:
        raise MissingError(f"no results.json in {source}; make one with `vprcap eval`")
    return write_json(output, [_entry(path, _read(path)) for path in files])


def _read(path: Path) -> RecallReport:
    stored = read_json(path)
    if isinstance(stored, dict) and "recall" in stored and "variant" not in stored:
        raise InvalidError(
            f"{path} was written by an older vprcap, which did not say whether captions were "
            "corrupted; evaluate again, or move it elsewhere"
        )
    try:
        return report_from_json(stored)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InvalidError(
            f"{path} is no recall report; name those of `vprcap eval`, one at a time or in a "
            "folder of their own"
        ) from None


def _entry(path: Path, report: RecallReport) -> dict[str, Any]:
    return {
        "set": report.name,
        "partial": report.partial,
        "variant": report.variant,
        "rule": report.rule,
        "database": report.num_database,
        "queries": report.num_queries,
        "solvable": report.num_solvable,
        "recall": {
            mode: {cutoff: each.value for cutoff, each in estimates.items()}
            for mode, estimates in report.recall.items()
        },
        "recall_all": report.recall_all,
        "source": str(path),
    }
