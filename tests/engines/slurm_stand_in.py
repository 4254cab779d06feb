"""A stand-in for Slurm: sbatch, srun and scontrol over a folder, on this machine.

It does what the engine relies on, as Slurm's manual describes it: an array runs its script once a
task with the variables of that task; a signal reaches every process of a task's step; a task that
was requeued runs again when its processes have ended. `install` makes the commands.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

JOB = "7"


class StandIn:
    """The folder of one stand-in, seen from a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def script(self) -> str:
        """Return what was submitted."""
        return (self.folder / "script.sh").read_text()

    def send(self, task: int, number: int, times: int = 1) -> None:
        """Send a signal to every process of a task's step, perhaps more than once."""
        step = int((self.folder / f"step-{task}").read_text())
        for _ in range(times):
            with suppress(ProcessLookupError):
                os.killpg(step, number)
            time.sleep(0.2)

    def end_commands(self, times: int) -> None:
        """Let a signal end `scontrol` so many times, as one to all processes of a step does."""
        (self.folder / "to-end").write_text("x" * times)

    def set_state(self, task: int, *states: str) -> None:
        """Set what Slurm thinks of a task."""
        (self.folder / f"state-{task}").write_text(json.dumps(states))

    def runs(self, task: int) -> int:
        """Return how often a task has begun."""
        begun = self.folder / f"begun-{task}"
        return len(begun.read_text()) if begun.exists() else 0

    def ended(self) -> dict[int, int]:
        """Return how each task that is over has ended."""
        return {
            int(path.name.partition("-")[2]): int(path.read_text())
            for path in self.folder.glob("ended-*")
        }


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


def install(folder: Path, monkeypatch_path: Callable[[str, str], None]) -> StandIn:
    """Make the commands in a folder and put it before the others in PATH."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    for name in ("sbatch", "srun", "scontrol"):
        command = commands / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {folder} {name} "$@"\n')
        command.chmod(0o755)
    monkeypatch_path("PATH", f"{commands}:{os.environ['PATH']}")
    return StandIn(folder)


def _sbatch(folder: Path, script: str) -> None:
    """Take a script; STAND_IN_RUNS says whether its tasks run, and if it is taken at all."""
    if (runs := os.environ.get("STAND_IN_RUNS", "yes")) == "refuses":
        sys.exit("sbatch: error: no such partition")
    text = Path(script).read_text()
    (folder / "script.sh").write_text(text)
    match = re.search(r"^#SBATCH --array=0-(\d+)", text, re.MULTILINE)
    tasks = int(match[1]) + 1 if match else 1
    for task in range(tasks if runs == "yes" else 0):
        subprocess.Popen(
            [sys.executable, __file__, folder, "task", str(task), "array" if match else "job"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    print(f"Submitted batch job {JOB}")


def _task(folder: Path, task: str, kind: str) -> None:
    """Run a task, and again as often as it is requeued."""
    array = {"SLURM_ARRAY_JOB_ID": JOB, "SLURM_ARRAY_TASK_ID": task} if kind == "array" else {}
    own = {"SLURM_JOB_ID": task if array else JOB, "SLURM_NTASKS": "1", "STAND_IN_TASK": task}
    while True:
        with (folder / f"begun-{task}").open("a") as begun:
            begun.write("x")
        code = subprocess.call(["bash", folder / "script.sh"], env={**os.environ, **own, **array})
        requeued = folder / f"requeued-{JOB}{'_' + task if array else ''}"
        if not requeued.exists():
            break
        requeued.unlink()
    (folder / f"ended-{task}").write_text(str(code))


def _srun(folder: Path, *arguments: str) -> None:
    """Become the step: a process group of its own, with the outputs that were asked for."""
    task, rest = os.environ["STAND_IN_TASK"], list(arguments)
    while rest[0].startswith("--"):
        option = rest.pop(0)
        if option in ("--output", "--error"):
            name = rest.pop(0).replace("%A", JOB).replace("%a", task).replace("%j", JOB)
            file = os.open(name.replace("%t", "0"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            os.dup2(file, 1 if option == "--output" else 2)
    os.setsid()
    (folder / f"step-{task}").write_text(str(os.getpid()))
    os.execvp(rest[0], rest)


def _scontrol(folder: Path, *arguments: str) -> None:
    to_end = folder / "to-end"
    if to_end.exists() and (left := to_end.read_text()):
        to_end.write_text(left[1:])
        os.kill(os.getpid(), signal.SIGTERM)
    if arguments[0] == "requeue":
        (folder / f"requeued-{arguments[1]}").touch()
        return
    state = folder / f"state-{os.environ['STAND_IN_TASK']}"
    states = json.loads(state.read_text()) if state.exists() else ["RUNNING"]
    print(json.dumps({"jobs": [{"job_state": states}]}))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    verb, arguments = sys.argv[2], sys.argv[3:]
    run = {"sbatch": _sbatch, "task": _task, "srun": _srun, "scontrol": _scontrol}[verb]
    run(Path(sys.argv[1]), *arguments)
