"""Which image of a manifest a name of somebody else's file means.

Peers write absolute paths, or paths below another root. Names are only compared, never opened: a
name means the image that shares most of its last folders and file name. Where several share as
much, it is ambiguous, and nobody guesses. One more way leads from one layout to another: the ``@``
names of VPR-datasets-downloader carry the key of the photograph that they were made from. Names
that say two roles, as ``ref/0000002.jpg`` and ``query/0000002.jpg`` do, are of two images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

_AT_PARTS = 16
_PANO_ID, _NOTE = 7, 14
_VIEW = (8, 9, _NOTE)
"""Tile, heading and note: which view of a panorama it is."""
_ROLES = {
    "ref": "database",
    "reference": "database",
    "database": "database",
    "query": "query",
    "queries": "query",
}
"""What folders that are called so hold."""


class Fate(Enum):
    """What became of a name."""

    WHOLE = "whole"
    """One path is the end of the other."""
    PARTIAL = "partial"
    """File names, or keys in them, agree; folders above them do not."""
    AMBIGUOUS = "ambiguous"
    UNMATCHED = "unmatched"


@dataclass(frozen=True, slots=True)
class Match:
    """The image that a name means."""

    fate: Fate
    row: int = -1
    """Position among the images, where there is one."""


_SEVERAL = -1


class Names:
    """The names of a manifest's images, to look up those of others."""

    def __init__(self, image_ids: Sequence[str]) -> None:
        self._parts = [tuple(image_id.split("/")) for image_id in image_ids]
        self._rows = {parts: row for row, parts in enumerate(self._parts)}
        self._by_suffix = _suffixes(self._parts)
        self._by_key: dict[str, int] = {}
        for row, parts in enumerate(self._parts):
            for key in _keys(parts[-1]):
                self._by_key[key] = _SEVERAL if key in self._by_key else row

    def match(self, names: Iterable[str]) -> list[Match]:
        """Look up every name.

        Two names that partly agree with one image contradict each other, and both are ambiguous;
        one that does so beside a name that wholly agrees means another image.
        """
        parts = [_split(name) for name in names]
        found = [self._look_up(own) if own else Match(Fate.UNMATCHED) for own in parts]
        whole = {match.row for match in found if match.fate is Fate.WHOLE}
        claims: dict[int, set[tuple[str, ...]]] = {}
        for match, own in zip(found, parts, strict=True):
            if match.fate is Fate.PARTIAL:
                claims.setdefault(match.row, set()).add(own)
        return [_settle(match, whole, claims) for match in found]

    def _look_up(self, name: tuple[str, ...]) -> Match:
        """Go up the folders while several images share the name's end."""
        best = Match(Fate.UNMATCHED)
        for length, by_suffix in enumerate(self._by_suffix, 1):
            row = by_suffix.get(name[-length:]) if length <= len(name) else None
            if row is None:
                break
            if row != _SEVERAL:
                return self._agreement(name, row)
            best = Match(Fate.AMBIGUOUS)
            if (only := self._rows.get(name[-length:])) is not None:
                best = Match(Fate.WHOLE, only)
        return self._by_keys(name) if best.fate is Fate.UNMATCHED else best

    def _agreement(self, name: tuple[str, ...], row: int) -> Match:
        own = self._parts[row]
        shared = min(len(name), len(own))
        if name[-shared:] == own[-shared:]:
            return Match(Fate.WHOLE, row)
        return Match(Fate.UNMATCHED) if _contradict(name, own) else Match(Fate.PARTIAL, row)

    def _by_keys(self, name: tuple[str, ...]) -> Match:
        for key in _keys(name[-1]):
            row = self._by_key.get(key)
            if row == _SEVERAL:
                return Match(Fate.AMBIGUOUS)
            if row is not None and (_is_at(name[-1]) or _is_at(self._parts[row][-1])):
                return self._agreement(name, row)
        return Match(Fate.UNMATCHED)


def _suffixes(paths: Sequence[tuple[str, ...]]) -> list[dict[tuple[str, ...], int]]:
    """By number of last parts, which image has them; only images that share fewer are there."""
    levels: list[dict[tuple[str, ...], int]] = []
    left: list[int] = list(range(len(paths)))
    while left:
        length = len(levels) + 1
        level: dict[tuple[str, ...], int] = {}
        for row in left:
            end = paths[row][-length:]
            level[end] = _SEVERAL if end in level else row
        left = [row for row in left if len(paths[row]) > length and level[paths[row][-length:]] < 0]
        levels.append(level)
    return levels


def _settle(match: Match, whole: set[int], claims: dict[int, set[tuple[str, ...]]]) -> Match:
    if match.fate is not Fate.PARTIAL:
        return match
    if match.row in whole:
        return Match(Fate.UNMATCHED)
    return match if len(claims[match.row]) == 1 else Match(Fate.AMBIGUOUS)


def _split(name: str) -> tuple[str, ...]:
    """Cut a path of any system into parts."""
    slashed = name.replace("\\", "/") if "/" not in name else name
    return tuple(part for part in slashed.strip().split("/") if part not in ("", "."))


def _contradict(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Say whether two paths are of different roles, or of different views of a panorama."""
    roles = [{_ROLES[part] for part in path[:-1] if part in _ROLES} for path in (one, other)]
    if all(roles) and not roles[0] & roles[1]:
        return True
    if not (_is_at(one[-1]) and _is_at(other[-1])):
        return False
    fields = [path[-1].split("@") for path in (one, other)]
    views = [(fields[0][place], fields[1][place]) for place in _VIEW]
    return any(own and their and not _equal(own, their) for own, their in views)


def _equal(one: str, other: str) -> bool:
    """Compare as numbers what is one: a heading may be written 90 or 090.00."""
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False


def _is_at(name: str) -> bool:
    return name.startswith("@") and name.count("@") == _AT_PARTS - 1


def _keys(name: str) -> tuple[str, ...]:
    """Give what may identify a photograph in any layout, the most telling first."""
    if not _is_at(name):
        return (name.rpartition(".")[0] or name,)
    fields = name.split("@")
    pano_id, note = fields[_PANO_ID], fields[_NOTE]
    # Pittsburgh has 24 views of a panorama: its original names are 000123_pitch1_yaw5.jpg.
    return tuple(key for key in (f"{pano_id}_{note}" if note else "", pano_id) if key)
