"""Which rows of a caption set are meant: ``status=oom,timeout`` or ``status!=ok``."""

import re
from dataclasses import dataclass

from vprcap.errors import InvalidError

_CLAUSE = re.compile(r"status(!?=)([a-z_]+(?:,[a-z_]+)*)")


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Rows whose status is one of these, or none of them."""

    statuses: frozenset[str]
    negated: bool = False

    def __call__(self, status: str | None) -> bool:
        """Say whether rows of this status are meant."""
        return (status in self.statuses) != self.negated


def parse_filter(text: str) -> RowFilter:
    """Read what a user wrote after --where.

    Raises:
        InvalidError: it is no such clause.
    """
    found = _CLAUSE.fullmatch(text.replace(" ", ""))
    if found is None:
        raise InvalidError(
            f"--where {text!r} is no filter; write status=NAME[,NAME...] or status!=ok, "
            "with the names that `vprcap status` shows"
        )
    return RowFilter(frozenset(found[2].split(",")), found[1] == "!=")
