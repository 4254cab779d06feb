"""What twins of queries are worth: recalls with them in the database, without, and the difference.

The difference is paired and over the queries that have a positive either way: a query that only its
own copy could solve is no longer a question, and to count it as a miss would overstate the effect.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vprcap.evaluation.estimate import Estimate, Estimates
from vprcap.evaluation.report import RecallReport, line_of, report_from_json


@dataclass(frozen=True)
class TwinEffect:
    """One set, evaluated twice."""

    num_twins: int
    """Database images that are a twin of a query."""
    num_solvable: int
    """Queries with a positive either way."""
    with_twins: RecallReport
    without_twins: RecallReport
    difference: dict[str, Estimates]
    """By mode: without minus with twins, paired; empty where no query is solvable either way."""

    def to_json(self) -> dict[str, Any]:
        """Return the effect as plain JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return both tables and the difference, as percentages."""
        num_lost = self.with_twins.num_solvable - self.num_solvable
        lines = [
            self.with_twins.to_text(),
            "",
            self.without_twins.to_text(),
            "",
            f"{self.num_twins:,} of {self.with_twins.num_database:,} database images are a twin of "
            f"a query; {num_lost:,} queries have no other positive",
        ]
        if self.difference:
            lines.append(
                f"without - with twins, paired over {self.num_solvable:,} queries solvable in both:"
            )
        lines += [line_of(mode, each, sign="+") for mode, each in self.difference.items()]
        return "\n".join(lines)


def twin_effect_from_json(stored: Mapping[str, Any]) -> TwinEffect:
    """Read back what `TwinEffect.to_json` gave."""
    difference = {
        mode: {cutoff: Estimate(**each) for cutoff, each in estimates.items()}
        for mode, estimates in stored["difference"].items()
    }
    reports = {name: report_from_json(stored[name]) for name in ("with_twins", "without_twins")}
    return TwinEffect(**{**stored, **reports, "difference": difference})
