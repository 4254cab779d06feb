"""How a caption set's status is shown on a terminal."""

from collections.abc import Iterator, Sequence

from vprcap.caption_sets.status import SetStatus
from vprcap.progress import duration

_MOST_LINES = 20


def status_lines(status: SetStatus) -> Iterator[str]:
    """Yield totals, then who is at work, then the shards with rows that failed."""
    rows = sum(status.statuses.values())
    yield status.name
    yield (
        f"rows          {rows + status.rows_journaled:,} of {status.images:,}, "
        f"{status.rows_journaled:,} of them in journals"
    )
    counts = ", ".join(f"{count:,} {name}" for name, count in status.statuses.items())
    yield f"statuses      {counts or 'none yet'}"
    if status.copied:
        yield f"copied        {status.copied:,} of them from where the image was captioned before"
    stale = len(status.running) - status.workers
    yield (
        f"shards        {len(status.done):,} of {status.shards:,} done, {status.workers:,} running"
        + (f", {stale:,} of dead workers" if stale else "")
    )
    yield f"speed         {_speed(status)}"
    yield (
        f"time so far   {status.worker_seconds / 3600:,.2f} worker-hours, "
        f"{status.gpu_seconds / 3600:,.2f} GPU-hours, of finished shards"
    )
    yield from _running(status)
    yield from _failed(status)


def _speed(status: SetStatus) -> str:
    each = status.images_per_second_each
    if not status.images_left:
        return "all rows are made" if each is None else f"{each:,.1f} images/s a worker; all done"
    if each is None:
        return "not known before the first shard is done"
    if status.eta_seconds is None:
        alone = duration(status.images_left / each)
        return f"{each:,.1f} images/s a worker, nobody at work; one worker would take {alone}"
    return f"{status.images_per_second:,.1f} images/s, ETA {duration(status.eta_seconds)}"


def _running(status: SetStatus) -> Iterator[str]:
    rows = [
        (
            f"{each.shard}",
            "dead" if each.stale else "running",
            f"{each.host}:{each.pid}",
            "?" if each.age_seconds is None else duration(each.age_seconds),
            duration(each.heartbeat_seconds),
            f"{each.rows:,}",
        )
        for each in status.running
    ]
    if rows:
        yield from _cut(
            table(("shard", "state", "worker", "age", "heartbeat", "rows"), rows), "workers"
        )


def _failed(status: SetStatus) -> Iterator[str]:
    rows = [
        (f"{shard.index}", ", ".join(f"{n:,} {name}" for name, n in failed.items()))
        for shard, known in sorted(status.done, key=lambda one: one[0].index)
        if (failed := {name: n for name, n in known.statuses.items() if name != "ok"})
    ]
    if rows:
        yield from _cut(table(("shard", "rows without a caption"), rows), "shards")


def _cut(lines: Iterator[str], what: str) -> Iterator[str]:
    shown = list(lines)
    yield ""
    yield from shown[: _MOST_LINES + 1]
    if len(shown) > _MOST_LINES + 1:
        yield f"and {len(shown) - _MOST_LINES - 1:,} {what} more; --json lists them all"


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    for row in (heading, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
