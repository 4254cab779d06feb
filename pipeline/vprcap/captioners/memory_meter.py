"""How much memory a batch took at its peak, and how much there was beside it.

On a GPU the allocator of torch counts; off it, the operating system. There the limits of the
control groups count too: in a container, or a job of Slurm, they are nearer than the machine's.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from vprcap.errors import InvalidError, first_line

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


@runtime_checkable
class MemoryMeter(Protocol):
    """Memory where a captioner computes, in bytes."""

    def start(self) -> None:
        """Forget the peak: from now on it is what is taken now."""
        ...

    def peak(self) -> int:
        """Return what was taken at most since the start."""
        ...

    def room(self) -> int:
        """Return what could have been taken beside the peak."""
        ...


def memory_meter(device: str) -> MemoryMeter:
    """Return the meter of a device: ``cpu``, or the name of a GPU.

    Raises:
        InvalidError: this system does not say what a process takes.
    """
    meter: MemoryMeter = MainMemory() if device == "cpu" else GpuMemory()
    try:
        meter.start()
        meter.room()
    except OSError as problem:
        raise InvalidError(
            f"--batch-size auto cannot measure memory here ({first_line(problem)}); give a number"
        ) from None
    return meter


class GpuMemory:
    """Memory of the current GPU."""

    def start(self) -> None:
        """Forget the peak."""
        import torch

        torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        """Return what tensors took at most."""
        import torch

        return torch.cuda.max_memory_allocated()

    def room(self) -> int:
        """Return what is free, and what torch keeps for tensors to come."""
        import torch

        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - self.peak()


class MainMemory:
    """Memory of this process, and of its machine or control group."""

    def __init__(self, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> None:
        self._proc, self._cgroups = proc, cgroups

    def start(self) -> None:
        """Forget the peak."""
        (self._proc / "self/clear_refs").write_text("5")

    def peak(self) -> int:
        """Return what this process held at most."""
        return _field(self._proc / "self/status", "VmHWM")

    def room(self) -> int:
        """Return what is free for this process."""
        available = _field(self._proc / "meminfo", "MemAvailable")
        resident = _field(self._proc / "self/status", "VmRSS")
        return min([available, *self._left_in_groups()]) + resident - self.peak()

    def _left_in_groups(self) -> Iterator[int]:
        """Give what is left in each control group (version 2) that has a limit."""
        own = re.search(r"^0::/(.*)$", (self._proc / "self/cgroup").read_text(), re.MULTILINE)
        group = self._cgroups / (own[1] if own else "")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(self._cgroups):
                return
            limit = _number(folder / "memory.max")
            if limit is not None:
                yield limit - (_number(folder / "memory.current") or 0)


def _field(path: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB$", path.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"no {name} in {path}")
    return int(found[1]) * 1024


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # absent at the root; ``max`` where there is no limit
        return None
