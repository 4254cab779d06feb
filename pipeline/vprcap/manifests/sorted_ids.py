"""Two sorted streams of image ids, compared as they pass: neither has to fit into memory."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

_NONE = pa.array([], pa.string())


def compare(
    now: Iterable[pa.Array], before: Iterable[pa.Array]
) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield what `now` has gained and lost since `before`, some of it at a time, in order.

    Args:
        now: image ids, ascending within and across the arrays.
        before: the same of another time.
    """
    streams = (iter(now), iter(before))
    new, old = _NONE, _NONE
    while True:
        new, old = (_filled(held, stream) for held, stream in zip((new, old), streams, strict=True))
        if not len(new) and not len(old):
            return
        ours, theirs = _up_to_the_same_id(new, old)
        new, old = new[len(ours) :], old[len(theirs) :]
        if not ours.equals(theirs):
            yield _without(ours, theirs), _without(theirs, ours)


def _filled(held: pa.Array, stream: Iterator[pa.Array]) -> pa.Array:
    while not len(held):
        held = next(stream, None)
        if held is None:
            return _NONE
    return held


def _up_to_the_same_id(new: pa.Array, old: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The heads of both that can be compared: nothing beyond them can be in the other's head."""
    if not len(new) or not len(old):
        return new, old
    last = min(new[-1].as_py(), old[-1].as_py())
    return tuple(held[: pc.sum(pc.less_equal(held, last)).as_py()] for held in (new, old))


def _without(ids: pa.Array, others: pa.Array) -> pa.Array:
    return ids.filter(pc.invert(pc.is_in(ids, others)))
