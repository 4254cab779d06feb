"""The attempts at a shard: which images were being captioned when its workers died.

A shard that has cost some workers their life is worked on carefully: before each try its images
are written down and forced to the disk, so the next worker knows the suspects. It tries each half
of them for itself, until an image is alone; if a lone image ends its worker again, it gets a row
instead of a caption. A kill from outside that happens to strike a lone image once is forgiven.

Nothing is written while a shard does well.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from vprcap.errors import InvalidError
from vprcap.fault_points import passing
from vprcap.files import read_json, storage_errors, write_json

_CAREFUL_FROM = 4
"""The attempt that is careful: the third death has come before it."""
_DEATHS_ALONE = 2

CRASH, HANG = "crash", "hang"


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of a shard; as it is stored."""

    suspects: tuple[tuple[str, ...], ...] = ()
    """Groups of images to be tried for themselves: one of each group may be at fault."""
    trying: tuple[str, ...] = ()
    """Images in work; those of a worker that has died."""
    cause: str = CRASH
    """Why `trying` ended, so far as is known: a worker that hangs has time to say so."""
    deaths_alone: dict[str, int] = field(default_factory=dict)
    guilty: dict[str, str] = field(default_factory=dict)
    """Status of the images that are not tried again: ``poison`` or ``timeout``."""

    def judged(self) -> "Note":
        """Draw the conclusion from the death of a worker."""
        cleared = replace(self, trying=(), cause=CRASH)
        match self.trying:
            case ():
                return self
            case (image_id,):
                deaths = self.deaths_alone.get(image_id, 0) + 1
                status = "timeout" if self.cause == HANG else "poison"
                if status == "timeout" or deaths >= _DEATHS_ALONE:
                    cleared = cleared.without(self.trying)
                    return replace(cleared, guilty={**self.guilty, image_id: status})
                alone = {**self.deaths_alone, image_id: deaths}
                return replace(cleared.with_suspects(self.trying), deaths_alone=alone)
        middle = len(self.trying) // 2
        return cleared.with_suspects(self.trying[:middle], self.trying[middle:])

    def with_suspects(self, *groups: tuple[str, ...]) -> "Note":
        """Put groups of suspects before all others."""
        known = self.without(image_id for group in groups for image_id in group)
        return replace(known, suspects=(*groups, *known.suspects))

    def without(self, image_ids: Iterable[str]) -> "Note":
        """Clear images of suspicion."""
        done = set(image_ids)
        groups = (tuple(each for each in group if each not in done) for group in self.suspects)
        return replace(self, suspects=tuple(filter(None, groups)))


class Attempts:
    """The attempts at one shard, seen by the worker that holds its lease."""

    def __init__(self, path: Path, attempt: int, may_write: Callable[[], bool]) -> None:
        """Read what earlier workers noted, and judge it.

        Args:
            path: of the note.
            attempt: of the lease.
            may_write: whether the lease is held: one that slept must not write over its successor.
        """
        self.path = path
        self._may_write = may_write
        found = _read(path)
        self._note = found.judged()
        self._careful = attempt >= _CAREFUL_FROM or self._note != Note()
        if self._note != found:  # before anything else can end this worker: each death counts once
            self._write(self._note)

    @property
    def careful(self) -> bool:
        """Whether this shard has cost workers their life, so that what is tried is noted first."""
        return self._careful

    @property
    def guilty(self) -> dict[str, str]:
        """Status of each image that is not to be tried again."""
        return self._note.guilty

    def groups(self, image_ids: Sequence[str]) -> list[list[str]]:
        """Cut what is left into what may share a batch: suspects first, then the rest."""
        left = set(image_ids) - self.guilty.keys()
        suspects = [[each for each in group if each in left] for group in self._note.suspects]
        suspected = {image_id for group in suspects for image_id in group}
        rest = [each for each in image_ids if each in left and each not in suspected]
        return [group for group in (*suspects, rest) if group]

    @contextmanager
    def trying(self, image_ids: Sequence[str]) -> Iterator[None]:
        """Note what is being tried while the body runs; a process that survives it is cleared."""
        if not self._careful:
            yield
            return
        self._write(replace(self._note, trying=tuple(image_ids)))
        try:
            yield
        except BaseException:  # this worker lives, but that says nothing for the images
            self._write(self._note)
            raise
        self._note = self._note.without(image_ids)
        self._write(self._note)

    def note_hang(self, image_ids: Sequence[str]) -> None:
        """Note that the model does not return from these images; the process will end."""
        self._write(replace(self._note, trying=tuple(image_ids), cause=HANG))

    def note_death(self, image_ids: Sequence[str]) -> None:
        """Note that a server ended while it had these images: that counts as a worker's death."""
        self._write(replace(self._note, trying=tuple(image_ids)))

    def forget(self) -> None:
        """Remove the note: the shard is done."""
        with storage_errors(self.path):
            passing("attempts.forget")
            self.path.unlink(missing_ok=True)

    def _write(self, note: Note) -> None:
        if self._may_write():
            write_json(self.path, asdict(note))


def _read(path: Path) -> Note:
    """Read a note; one that is damaged says nothing, and costs no more than new deaths."""
    if not path.exists():
        return Note()
    try:
        stored = read_json(path)
        return Note(
            suspects=tuple(tuple(map(str, group)) for group in stored["suspects"]),
            trying=tuple(map(str, stored["trying"])),
            cause=str(stored["cause"]),
            deaths_alone={str(key): int(each) for key, each in stored["deaths_alone"].items()},
            guilty={str(key): str(each) for key, each in stored["guilty"].items()},
        )
    except (InvalidError, KeyError, TypeError, ValueError, AttributeError):
        return Note()
