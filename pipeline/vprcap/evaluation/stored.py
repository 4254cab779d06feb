"""An evaluation as it lies on disk, read back for those who look at it.

<evaluation>/results.json        the recall report
<evaluation>/per_query.parquet   what each query found, in each mode
<evaluation>/gates.parquet       what was believed of each caption; not where images are alone
<evaluation>/provenance.json     what it was made of; not in old ones
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Bool

from vprcap.errors import InvalidError, MissingError, first_line
from vprcap.evaluation.predictions import PER_QUERY_SCHEMA
from vprcap.evaluation.provenance import Provenance, read_provenance
from vprcap.evaluation.recall import CUTOFFS
from vprcap.evaluation.report import RecallReport, report_from_json
from vprcap.files import read_json

RESULTS = "results.json"
_GATES_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("caption", pa.string()),
        ("words", pa.list_(pa.string())),
        ("gates", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True, slots=True)
class GatedCaption:
    """A caption and how far each of its words was believed."""

    caption: str
    words: list[str]
    gates: list[float]
    """Of each word, 0 to 1."""


@dataclass(frozen=True)
class Findings:
    """What the queries found in one mode, in the task's order."""

    retrieved: list[list[str]]
    """Image ids, nearest first."""
    first_hit: list[int | None]
    """Rank of the first positive, 1 being the nearest; None where none was retrieved."""

    def hits(self) -> Bool[np.ndarray, "queries cutoffs"]:
        """Say which queries had a positive among the first K, for each cutoff."""
        beyond = max(CUTOFFS) + 1
        ranks = np.array([beyond if rank is None else rank for rank in self.first_hit])
        within: np.ndarray = ranks[:, None] <= np.array(CUTOFFS)
        return within


@dataclass(frozen=True)
class Evaluation:
    """One evaluation."""

    folder: Path
    report: RecallReport
    provenance: Provenance | None
    query_ids: list[str]
    num_positives: list[int]
    """Of each query."""
    findings: dict[str, Findings]
    """By mode."""
    captions: dict[str, GatedCaption] = field(default_factory=dict)
    """By image id; empty where images were described alone."""


def find_evaluation(path: Path) -> Path:
    """Return the folder of an evaluation: `path` itself, or the only one of a run as it is.

    Variants of a run, such as with corrupted captions, must be named.

    Raises:
        MissingError: there is none.
        InvalidError: the run has several.
    """
    if (path / RESULTS).is_file():
        return path
    found = sorted(each.parent for each in path.glob(f"eval/*/{RESULTS}"))
    if not found:
        raise MissingError(f"no evaluation in {path}; make one with `vprcap eval`")
    honest = [each for each in found if not read_json(each / RESULTS).get("variant")]
    if len(honest) != 1:
        names = ", ".join(str(each) for each in found)
        raise InvalidError(f"{path} has several evaluations; name one: {names}")
    return honest[0]


def read_evaluation(folder: Path) -> Evaluation:
    """Read an evaluation.

    Raises:
        MissingError: a file is not there.
        InvalidError: a file is damaged.
    """
    try:
        report = report_from_json(read_json(folder / RESULTS))
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise _damaged(folder / RESULTS, problem) from None
    rows = _read(folder / "per_query.parquet", PER_QUERY_SCHEMA)
    modes = list(report.recall)
    by_mode = {mode: rows.filter(pc.field("mode") == mode) for mode in modes}
    ids = {mode: own["image_id"].to_pylist() for mode, own in by_mode.items()}
    query_ids: list[str] = ids[modes[0]] if modes else []
    if not query_ids or any(each != query_ids for each in ids.values()):
        raise InvalidError(f"{folder} has queries missing in some modes; evaluate again")
    findings = {
        mode: Findings(own["retrieved"].to_pylist(), own["first_hit_rank"].to_pylist())
        for mode, own in by_mode.items()
    }
    num_positives = by_mode[modes[0]]["num_positives"].to_pylist()
    if any(names is None for found in findings.values() for names in found.retrieved):
        raise _damaged(folder / "per_query.parquet", "a query without a list of what it found")
    made_of = read_provenance(folder)
    alone = made_of is not None and made_of.captions is None
    captions = {} if alone else _read_captions(folder / "gates.parquet")
    return Evaluation(folder, report, made_of, query_ids, num_positives, findings, captions)


def _read_captions(path: Path) -> dict[str, GatedCaption]:
    if not path.exists():
        return {}
    captions = {}
    for row in _read(path, _GATES_SCHEMA).to_pylist():
        if row["caption"] is None:
            continue
        words, gates = row["words"] or [], row["gates"] or []
        if len(words) != len(gates) or not all(
            gate is not None and 0 <= gate <= 1 for gate in gates
        ):
            raise _damaged(path, f"gates of {row['image_id']!r:.80} are not one in 0..1 a word")
        captions[row["image_id"]] = GatedCaption(row["caption"], words, gates)
    return captions


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    if not path.is_file():
        raise MissingError(f"no file {path}; evaluate again")
    try:
        return pq.read_table(path, columns=schema.names).cast(schema)
    except (pa.ArrowInvalid, ValueError, OSError, KeyError) as problem:
        raise _damaged(path, problem) from None


def _damaged(path: Path, problem: Exception | str) -> InvalidError:
    reason = problem if isinstance(problem, str) else first_line(problem)
    return InvalidError(f"{path} is damaged ({reason}); evaluate again")
