"""What an engine is asked for, and what it answers.

One flat set of options for all engines, so that a command line is one constructor call. What was
given for an engine that is not used is refused: it would change nothing, and its user believes
that it does.
"""

from dataclasses import dataclass, fields
from pathlib import Path

from vprcap.errors import InvalidError

_OWN = {
    "local": {"workers"},
    "slurm": {"partition", "time", "gpus", "constraint", "array"},
    "ray": {"workers", "ray_address"},
}
"""The options that each engine has."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Which engine starts the workers, and how many of them where; None: as the engine decides."""

    engine: str = "local"
    workers: int | None = None
    """Worker processes; None: one per GPU, or one on a CPU."""
    partition: str | None = None
    time: str | None = None
    """Limit of a task, as Slurm takes it: minutes, hours:minutes:seconds, days-hours ..."""
    gpus: int | None = None
    """Of each task."""
    constraint: str | None = None
    """Features that nodes must have."""
    array: int | None = None
    """Tasks of the job array."""
    ray_address: str | None = None

    def __post_init__(self) -> None:
        """Refuse an engine that there is not, and options that are another's.

        Raises:
            InvalidError: either of them.
        """
        if self.engine not in _OWN:
            raise InvalidError(f"no engine {self.engine!r}; there are: {', '.join(_OWN)}")
        own = _OWN[self.engine] | {"engine"}
        for name in (field.name for field in fields(self)):
            if name not in own and getattr(self, name) is not None:
                others = " and ".join(other for other, names in _OWN.items() if name in names)
                raise InvalidError(
                    f"--{name.replace('_', '-')} is of --engine {others}, not of {self.engine}; "
                    "leave it out, or name that engine"
                )


@dataclass(frozen=True, slots=True)
class Started:
    """What came of it."""

    captions: Path
    """Folder of the caption set."""
    job_id: str | None = None
    """Of work that a batch system goes on with; None: the work is done."""
    num_tasks: int = 0
    logs: Path | None = None
    """Folder of what its tasks say."""
