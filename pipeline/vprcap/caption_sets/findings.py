"""What `verify` finds wrong: counted by kind, with the first examples, whatever the number."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 5

REMEDIES = {
    "shard without rows": "finish it with `vprcap caption`",
    "foreign file": "move it out of the folder of rows: readers read all that lies there",
    "damaged file": "move it away; of a shard, run `vprcap caption` again",
    "image without a row": "move its file away and run `vprcap caption` again",
    "second row of an image": "move its file away and run `vprcap caption` again",
    "row of an image that is not planned": "move its file away and run `vprcap caption` again",
    "rows in another order": "move the file away and run `vprcap caption` again",
    "provenance differs": "move the file away and run `vprcap caption` again",
    "row ok without caption": "move its file away and run `vprcap caption` again",
    "summary differs": "remove the summary: it is made again from the part",
    "image changed": "restore the image, or caption it anew in another --captions-root",
    "image is gone": "restore the image",
}
"""What can be wrong, and what to do about it."""


@dataclass
class Findings:
    """Problems by kind, and how much was looked at."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    shards: int = 0
    rows: int = 0
    bytes: int = 0
    images_hashed: int = 0

    def add(self, kind: str, example: str, count: int = 1) -> None:
        """Note a problem of a kind in `REMEDIES`."""
        assert kind in REMEDIES
        self.counts[kind] += count
        known = self.examples.setdefault(kind, [])
        if len(known) < EXAMPLES:
            known.append(example)

    def merge(self, other: "Findings") -> None:
        """Take over what another look has found."""
        for kind, examples in other.examples.items():
            known = self.examples.setdefault(kind, [])
            known += examples[: EXAMPLES - len(known)]
        self.counts += other.counts
        self.shards += other.shards
        self.rows += other.rows
        self.bytes += other.bytes
        self.images_hashed += other.images_hashed

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        problems = [
            {"problem": kind, "count": count, "examples": self.examples[kind]}
            for kind, count in self.counts.most_common()
        ]
        looked = ("shards", "rows", "bytes", "images_hashed")
        return {**{name: getattr(self, name) for name in looked}, "problems": problems}
