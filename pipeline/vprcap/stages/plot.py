"""Plot: evaluations and comparisons -> figures as SVG and PDF, and a table for LaTeX."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vprcap.errors import InvalidError, first_line
from vprcap.evaluation.comparison import comparison_from_json
from vprcap.evaluation.figures import comparison_figure, methods_figure, recall_figure
from vprcap.evaluation.latex import latex_table
from vprcap.evaluation.plot import FORMATS, Drawing, write_drawing
from vprcap.evaluation.report import RecallReport, report_from_json
from vprcap.files import read_json, replacing


def plot(results: Sequence[Path], output: Path) -> list[Path]:
    """Draw results and return the files, in the order in which they are made.

    Args:
        results: ``results.json``, ``comparison.json`` or ``curve.json``.
        output: folder for the figures and ``results.tex``; files of the same names are replaced.

    Raises:
        MissingError: a file is not there.
        InvalidError: a file is damaged, or there is nothing to draw in it.
    """
    reports: dict[str, RecallReport] = {}
    drawings: dict[str, Drawing] = {}
    for path in results:
        label = _label(path, {*reports, *drawings})
        found = _read(path)
        if isinstance(found, RecallReport):
            reports[label] = found
        else:
            drawings[label] = found
    solvable = {label: each for label, each in reports.items() if each.num_solvable}
    drawings |= {f"recall-{label}": recall_figure(each) for label, each in solvable.items()}
    drawings |= _methods(solvable)
    files = [
        write_drawing(output / f"{name}{suffix}", drawing)
        for name, drawing in drawings.items()
        for suffix in FORMATS
    ]
    return [*files, _write_table(output / "results.tex", reports)] if reports else files


def _methods(reports: Mapping[str, RecallReport]) -> dict[str, Drawing]:
    """Draw together what was evaluated under one protocol: nothing else can be compared."""
    protocols: dict[tuple[str, str, int, int], dict[str, RecallReport]] = {}
    for label, report in reports.items():
        protocol = (report.name, report.rule, report.num_database, report.num_queries)
        protocols.setdefault(protocol, {})[label] = report
    several = [own for own in protocols.values() if len(own) > 1]
    names = ["methods", *(f"methods-{number}" for number in range(2, len(several) + 1))]
    return dict(zip(names, map(methods_figure, several), strict=False))


def _read(path: Path) -> RecallReport | Drawing:
    stored: Any = read_json(path)
    try:
        if "rows" in stored:
            return comparison_figure(comparison_from_json(stored))
        return report_from_json(stored)
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise InvalidError(
            f"{path} holds no recalls ({first_line(problem)}); name results of `vprcap eval`"
        ) from None


def _label(path: Path, taken: set[str]) -> str:
    """Name a result by its run and its set; one that is named already gets a number."""
    folder = path.absolute().parent
    run = folder.parents[1].name if folder.parent.name == "eval" else ""
    name = "-".join(part for part in (run, folder.name) if part)
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(each for each in (name, *numbered) if each not in taken)


def _write_table(path: Path, reports: dict[str, RecallReport]) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(latex_table(reports), "utf-8")
    return path
