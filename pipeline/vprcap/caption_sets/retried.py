"""Captions that were written again under another decoding configuration, and which to keep.

Greedy decoding gives a flagged caption again for ever; drawn at a temperature, another comes. The
second is kept only where it is better by a rule that text alone decides, so what was there is
never lost to something worse, and a third try never follows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.qa import FLAGS, badness, find_flags
from vprcap.caption_sets.shard_rows import iter_shards
from vprcap.errors import InvalidError, VprcapError
from vprcap.manifests.plan import Shard

TEMPERATURE = 0.7
"""Of the second try, where the first was greedy."""


def parse_flags(text: str | None) -> frozenset[str]:
    """Read which flags a user named; None: all.

    Raises:
        InvalidError: one is unknown.
    """
    named = FLAGS if text is None else tuple(text.replace(" ", "").split(","))
    unknown = sorted(set(named) - set(FLAGS))
    if unknown:
        raise InvalidError(f"--flags {unknown[0]!r} is unknown; choose of {', '.join(FLAGS)}")
    return frozenset(named)


def retried_config_ids(captions: CaptionSet) -> frozenset[str]:
    """Return the configurations under which flagged images of a set were captioned again."""
    found = set()
    for path in captions.retries.glob("*/config.json"):
        try:
            found.add(CaptionSet(path.parent).config_id)
        except (VprcapError, KeyError, TypeError):  # not of ours: its rows are not either
            continue
    return frozenset(found)


def is_better(new: Mapping[str, Any], old: Mapping[str, Any], prompt: str) -> bool:
    """Say whether a second caption is to take the place of the first.

    Its worst flag must be lesser; where both have the same, it must have fewer flags. Of equals
    the first stays, and so it does where the image has changed since.
    """
    if new["status"] != "ok" or new["image_sha256"] != old["image_sha256"]:
        return False
    return _badness(new, prompt) < _badness(old, prompt)


def _badness(row: Mapping[str, Any], prompt: str) -> tuple[int, int]:
    return badness(list(find_flags(row["caption"], row["finish_reason"], prompt)))


def iter_with_retries(
    captions: CaptionSet, again: CaptionSet, columns: Sequence[str] | None = None
) -> Iterator[tuple[Shard, pa.Table, dict[str, dict[str, Any]]]]:
    """Yield the shards of a set, each with the rows of its images that were made again.

    Both are in the order of image ids, so neither has to fit into memory.
    """
    stream = (row for _, rows in iter_shards(again) for row in rows.to_pylist())
    following = next(stream, None)
    for shard, rows in iter_shards(captions, columns):
        ids = set(rows["image_id"].to_pylist())
        found = {}
        while following is not None and following["image_id"] in ids:
            found[following["image_id"]] = following
            following = next(stream, None)
        yield shard, rows, found
    assert following is None, "what was made again is of this set"
