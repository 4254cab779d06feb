"""A training that is killed and started again ends with the bits of one left alone."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vprcap.encoders.adapters import AdapterConfig
from vprcap.errors import InvalidError, StaleArtefactError
from vprcap.training import TrainConfig
from vprcap.training.checkpoint import read_checkpoint, write_checkpoint
from vprcap.workflows.material import Encoders
from vprcap.workflows.prepare import Source
from vprcap.workflows.training import train_combiner

SCRIPT = Path(__file__).with_name("train_and_die.py")
NEVER = 10**6
STEPS_AN_EPOCH = 4  # eight training places, two in a batch
CONFIG = TrainConfig(epochs=4, places_per_batch=2, patience=9)


@pytest.mark.parametrize("adapt", ["none", "bottleneck"])
def test_killed_drained_and_resumed_training_equals_one_left_alone(
    small_set: tuple[Path, Path],
    tiny_encoders: tuple[str, str],
    tmp_path: Path,
    equal_weights: Callable[[Path, Path], bool],
    adapt: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    manifest, captions = small_set
    alone, killed = tmp_path / "alone", tmp_path / "killed"

    def in_process(output: Path, config: TrainConfig = CONFIG) -> None:
        train_combiner(
            Source(manifest),
            output,
            encoders=Encoders(*tiny_encoders, (28, 42)),
            captions=captions,
            features_root=tmp_path / "features",
            descriptor_dim=8,
            adapters=None if adapt == "none" else AdapterConfig(adapt),
            config=config,
        )

    def killed_by(signal: str, step: int) -> tuple[int, str]:
        """The same, as a command in a process that is sent a signal before a step of its own."""
        command = [
            *("train", str(manifest), "--captions", str(captions), "--adapt", adapt),
            *("--image-encoder", tiny_encoders[0], "--text-encoder", tiny_encoders[1]),
            *("--features-root", str(tmp_path / "features"), "--image-size", "28x42"),
            *("--places-per-batch", "2", "--descriptor-dim", "8", "--epochs", "4"),
            *("--patience", "9", "--output", str(killed)),
        ]
        arguments = [sys.executable, str(SCRIPT), signal, str(step), *command]
        done = subprocess.run(arguments, capture_output=True, text=True)
        return done.returncode, done.stderr

    in_process(alone)
    # Killed in the second epoch: goes on from the end of the first.
    assert killed_by("SIGKILL", STEPS_AN_EPOCH + 2)[0] == -9
    # Asked to stop in the third epoch: saves in its middle.
    code, said = killed_by("SIGTERM", STEPS_AN_EPOCH + 2)
    assert code == 143 and "saved; run the same command again to go on" in said
    assert len(figures(killed)) == 3
    with pytest.raises(StaleArtefactError, match=r"training\.epochs is 4 there, 5 here"):
        in_process(killed, replace(CONFIG, epochs=5))
    assert killed_by("SIGKILL", NEVER)[0] == 0
    adapters = [path.name for path in alone.glob("*_adapters.safetensors")]
    assert len(adapters) == (0 if adapt == "none" else 2)
    for name in ("model.safetensors", *adapters):
        assert equal_weights(alone / name, killed / name), name
    assert figures(alone) == figures(killed)
    assert not list(killed.glob("checkpoint*")) and not list(killed.glob(".*.tmp"))
    finished = (killed / "model.safetensors").stat().st_mtime_ns
    in_process(killed)
    assert "is trained already, in this configuration; nothing is done" in caplog.text
    with pytest.raises(StaleArtefactError, match="holds a training of another configuration"):
        in_process(killed, replace(CONFIG, seed=1))
    assert (killed / "model.safetensors").stat().st_mtime_ns == finished


def figures(folder: Path) -> list[dict[str, float]]:
    """All that was measured, but for the time it took."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: each for name, each in row.items() if name != "seconds"} for row in rows]


def test_a_checkpoint_is_one_file_of_tensors_and_json(tmp_path: Path) -> None:
    path, tensor = tmp_path / "checkpoint.safetensors", torch.tensor([0.1, torch.inf])
    state = {"identity": {"seed": 1}, "rate": 0.1 + 0.2}
    write_checkpoint(path, {"weights": {"a/b": tensor}, "best": {}}, state)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    found = read_checkpoint(path, {"seed": 1})
    assert found is not None and found.state == state
    assert torch.equal(found.part("weights")["a/b"], tensor) and found.part("best") == {}
    assert read_checkpoint(tmp_path / "absent", {}) is None


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"torn")
    with pytest.raises(InvalidError, match="is no checkpoint .* remove .* to train from the start"):
        read_checkpoint(tmp_path / "checkpoint.safetensors", {})
