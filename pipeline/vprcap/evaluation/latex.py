r"""Results as a table for LaTeX, with ``\usepackage{booktabs}``."""

from collections.abc import Mapping

from vprcap.evaluation.estimate import Estimate, Estimates
from vprcap.evaluation.recall import CUTOFFS
from vprcap.evaluation.report import RecallReport

_ESCAPED = {
    **{letter: rf"\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': "''",
}


def latex_table(reports: Mapping[str, RecallReport]) -> str:
    """Return a booktabs table of all modes of some evaluations, by label.

    Blocks say their protocol; numbers are percentages over solvable queries with 95 % intervals.
    """
    head = " & ".join(["", *(f"R@{cutoff}" for cutoff in CUTOFFS)])
    lines = [
        "% over solvable queries, in percent; in brackets 95 % intervals",
        rf"\begin{{tabular}}{{l{'r' * len(CUTOFFS)}}}",
        r"\toprule",
        rf"{head} \\",
    ]
    for label, report in reports.items():
        lines += [r"\midrule", *_block(label, report)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _block(label: str, report: RecallReport) -> list[str]:
    said = (
        f"{label}: {report.name}, {report.num_database:,} database, {report.num_queries:,} queries "
        f"({report.num_solvable:,} solvable), {report.rule}"
    )
    notes = [said, report.variant, report.partial and f"partial, not comparable: {report.partial}"]
    across = len(CUTOFFS) + 1
    lines = [rf"\multicolumn{{{across}}}{{l}}{{{escaped(note)}}} \\" for note in notes if note]
    if not report.num_solvable:
        return lines
    lines += [_line(mode, estimates) for mode, estimates in report.recall.items()]
    if report.delta:
        lines.append(_line("fused $-$ image, paired", report.delta, sign="+", plain=False))
    return lines


def _line(mode: str, estimates: Estimates, sign: str = "", *, plain: bool = True) -> str:
    cells = [_cell(estimate, sign) for estimate in estimates.values()]
    return " & ".join([escaped(mode) if plain else mode, *cells]) + r" \\"


def _cell(estimate: Estimate, sign: str) -> str:
    value, _, interval = estimate.to_text(sign).partition(" ")
    return rf"{_minus(value)} {{\scriptsize {_minus(interval)}}}"


def _minus(text: str) -> str:
    return text.replace("-", "$-$").replace("+", "$+$")


def escaped(text: str) -> str:
    """Write a text so that LaTeX prints it."""
    return "".join(_ESCAPED.get(letter, letter) for letter in text)
