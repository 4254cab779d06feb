"""Assess: caption set -> how many of its captions are flagged for what, with the worst examples.

Flags are found again from the texts, by the rules of today, so sets that were written under older
rules, or elsewhere, are told of too. Nothing is written: a flag says "look here", and the stored
ones say what was known when the row was made.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow.compute as pc

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.identical import IdenticalCaptions, caption_key
from vprcap.caption_sets.qa import find_flags
from vprcap.caption_sets.shard_rows import finished, iter_shards
from vprcap.errors import MissingError
from vprcap.files import read_json
from vprcap.progress import Progress

_COLUMNS = ("image_id", "image_sha256", "caption", "finish_reason", "qa_flags")


@dataclass(frozen=True, slots=True)
class Example:
    """A caption, and the words that it is flagged for."""

    image_id: str
    caption: str
    because: list[str]


@dataclass
class Assessment:
    """What the captions of a set are flagged for."""

    captions: int = 0
    """Rows that have one."""
    flagged: int = 0
    """Those with any flag of their own."""
    flags: Counter[str] = field(default_factory=Counter)
    """Rows by flag; ``duplicate``: what many different images have been told alike."""
    examples: dict[str, list[Example]] = field(default_factory=dict)
    """Of each flag, those with most words to blame first."""
    stored_flags_differ: int = 0
    """Rows whose stored flags are not those of today's rules."""
    distinct: int = 0
    """Different captions."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        return {**asdict(self), "flags": dict(self.flags.most_common())}

    def add(self, row: dict[str, Any], prompt: str, num_examples: int) -> None:
        """Take a row that has a caption into account."""
        found = find_flags(row["caption"], row["finish_reason"], prompt)
        self.captions += 1
        self.flagged += bool(found)
        self.flags.update(found.keys())
        self.stored_flags_differ += list(found) != (row.get("qa_flags") or [])
        for flag, because in found.items():
            kept = self.examples.setdefault(flag, [])
            kept.append(Example(row["image_id"], row["caption"], because))
            kept.sort(key=lambda each: -len(each.because))  # stable: in plan order where alike
            del kept[num_examples:]


def assess(captions: CaptionSet, *, num_examples: int = 3) -> Assessment:
    """Assess the captions of a set's finished shards.

    Raises:
        MissingError: nothing is finished yet.
        InvalidError: a part is damaged.
    """
    captions = captions.now()
    shards = finished(captions)
    if not shards:
        raise MissingError(f"no captions in {captions.root}; write them with `vprcap caption`")
    prompt = read_json(captions.config_json).get("prompt") or ""
    found, identical = Assessment(), IdenticalCaptions()
    with Progress("assessing", len(shards), "shards") as progress:
        for rows in _rows(captions):
            for row in rows:
                found.add(row, prompt, num_examples)
                identical.add(row["caption"], row["image_sha256"] or row["image_id"])
            progress.advance()
    found.distinct, counts = identical.count()
    _note_duplicates(found, captions, counts, num_examples)
    return found


def _rows(captions: CaptionSet) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows that have a caption, a shard at a time."""
    for _, rows in iter_shards(captions, _COLUMNS):
        yield rows.filter(pc.is_valid(rows["caption"])).to_pylist()


def _note_duplicates(
    found: Assessment, captions: CaptionSet, counts: dict[int, int], num_examples: int
) -> None:
    """Add how many images share a caption with many; texts are looked up again, only of these."""
    if not counts:
        return
    found.flags["duplicate"] = sum(counts.values())
    wanted = sorted(counts, key=lambda key: -counts[key])[:num_examples]
    texts: dict[int, Example] = {}
    for rows in _rows(captions):
        for row in rows:
            key = caption_key(row["caption"])
            if key in wanted and key not in texts:
                because = [f"{counts[key]:,} images"]
                texts[key] = Example(row["image_id"], row["caption"], because)
        if len(texts) == len(wanted):
            break
    found.examples["duplicate"] = [texts[key] for key in wanted]
