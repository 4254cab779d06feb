"""A caption set's status as a Prometheus text file, for node_exporter's textfile collector."""

from collections.abc import Iterator
from pathlib import Path

from vprcap.caption_sets.status import SetStatus
from vprcap.files import replacing


def write_prometheus(status: SetStatus, path: Path) -> Path:
    """Write the figures of a set, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text("\n".join(_lines(status)) + "\n", "utf-8")
    return path


def _lines(status: SetStatus) -> Iterator[str]:
    """Yield the text of each metric: its meaning, its type, its samples."""
    rows = [({"status": name}, count) for name, count in status.statuses.items()]
    waiting = status.shards - len(status.done) - len(status.running)
    states = {
        "done": len(status.done),
        "running": status.workers,
        "stale": len(status.running) - status.workers,
        "waiting": waiting,
    }
    shards = [({"state": state}, count) for state, count in states.items()]
    gauge, counter = "gauge", "counter"
    metrics: list[tuple[str, str, str, list[tuple[dict[str, str], float | None]]]] = [
        ("images", gauge, "Images of the plan.", [({}, status.images)]),
        ("images_left", gauge, "Images without a row.", [({}, status.images_left)]),
        ("rows", gauge, "Rows of finished shards by status.", [*rows]),
        ("rows_journaled", gauge, "Rows of unfinished shards.", [({}, status.rows_journaled)]),
        ("shards", gauge, "Shards by state.", [*shards]),
        ("images_per_second", gauge, "Speed of all workers.", [({}, status.images_per_second)]),
        ("eta_seconds", gauge, "Time until the last row.", [({}, status.eta_seconds)]),
        ("worker_seconds_total", counter, "Time of workers.", [({}, status.worker_seconds)]),
        ("gpu_seconds_total", counter, "Time of GPUs.", [({}, status.gpu_seconds)]),
    ]
    for name, kind, meaning, samples in metrics:
        yield f"# HELP vprcap_{name} {meaning}"
        yield f"# TYPE vprcap_{name} {kind}"
        for labels, value in samples:
            if value is not None:
                yield f"vprcap_{name}{{{_labels(set=status.name, **labels)}}} {value:.15g}"


def _labels(**labels: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
