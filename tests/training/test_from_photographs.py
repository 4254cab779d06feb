"""Training from photographs: adapters learn, frozen weights do not, and the run can be used."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from vprcap.encoders import load_image_encoder, load_text_encoder
from vprcap.encoders.adapters import AdapterConfig, adapter_weights
from vprcap.errors import InvalidError, MissingError
from vprcap.stages.scan import scan
from vprcap.training import TrainConfig
from vprcap.training.adapted import AdaptedEncoders
from vprcap.training.drawing import mix_captions, share
from vprcap.training.photographs import Photographs, open_pool
from vprcap.workflows.material import Encoders, encoders_of, gather
from vprcap.workflows.prepare import Source
from vprcap.workflows.training import train_combiner

CONFIG = TrainConfig(epochs=1, places_per_batch=4, patches_kept=0.5)
SIZE = (28, 42)
Names = tuple[str, str]
Set = tuple[Path, Path]


def train(
    small_set: Set, names: Names, output: Path, adapters: str | None = "bottleneck", **more: object
) -> Path:
    return train_combiner(
        Source(small_set[0]),
        output,
        encoders=Encoders(*names, SIZE),
        captions=None if more.get("without_captions") else small_set[1],
        adapters=AdapterConfig(adapters) if adapters else None,
        descriptor_dim=8,
        **({"config": CONFIG} | more),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kind", ["bottleneck", "multiconv"])
def test_adapters_are_trained_stored_and_used_by_evaluation(
    small_set: Set, tiny_encoders: Names, tmp_path: Path, kind: str
) -> None:
    run = train(small_set, tiny_encoders, tmp_path / "run", kind)
    stored = json.loads((run / "run.json").read_text())
    assert stored["adapt"] == kind
    assert stored["adapters"] == {"image": kind, "text": "bottleneck"}
    assert stored["material"]["manifest"] == str(small_set[0])
    assert stored["caption_set"] == small_set[1].name
    encoders = encoders_of(run)
    assert encoders.image_size == SIZE
    assert encoders.image_adapters == run / "image_adapters.safetensors"
    assert encoders.text_adapters == run / "text_adapters.safetensors"
    assert not (run / "checkpoint.safetensors").exists()
    plain = gather(Source(small_set[0]), Encoders(*tiny_encoders, SIZE), small_set[1], tmp_path)
    adapted = gather(Source(small_set[0]), encoders, small_set[1], tmp_path)
    assert plain.image_features != adapted.image_features
    assert plain.text_features != adapted.text_features


def test_frozen_weights_stay_and_adapters_move(
    small_set: Set, tiny_encoders: Names, tmp_path: Path
) -> None:
    from vprcap.training import learner

    seen: list[dict[str, torch.Tensor]] = []
    step = learner.Learner.step

    def watched(self: learner.Learner, *arguments: object) -> dict[str, float]:
        figures = step(self, *arguments)  # type: ignore[arg-type]
        assert self.encoders is not None
        seen.append({name: each.clone() for name, each in self.encoders.named_parameters()})
        return figures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner.Learner, "step", watched)
        train(small_set, tiny_encoders, tmp_path / "run")
    first, last = seen[0], seen[-1]
    moved = {name for name, weight in last.items() if not torch.equal(first[name], weight)}
    assert moved and all(".adapter." in name for name in moved)
    for model in ("image_model", "text_model"):
        layers = {name.split(".")[3] for name in moved if name.startswith(model) and "up" in name}
        assert layers == {"0", "1"}, "every adapter is trained"


def test_without_captions_the_text_side_gets_no_adapters(
    small_set: Set, tiny_encoders: Names, tmp_path: Path
) -> None:
    run = train(small_set, tiny_encoders, tmp_path / "run", without_captions=True)
    stored = json.loads((run / "run.json").read_text())
    assert stored["captions"] is None and stored["adapters"]["text"] is None
    assert not (run / "text_adapters.safetensors").exists()
    assert encoders_of(run).text_adapters is None


def test_stored_features_need_no_captions_either(
    small_set: Set, tiny_encoders: Names, tmp_path: Path
) -> None:
    run = train(small_set, tiny_encoders, tmp_path / "run", None, without_captions=True)
    stored = json.loads((run / "run.json").read_text())
    assert stored["adapt"] == "none" and stored["material"]["text_features"] is None
    assert Path(stored["material"]["image_features"]).is_dir()
    config = json.loads((run / "config.json").read_text())
    assert config["text_dim"] == 16, "a captioned set can be evaluated all the same"


def test_accumulated_batches_are_one_step(
    small_set: Set, tiny_encoders: Names, tmp_path: Path
) -> None:
    from vprcap.training import learner

    sizes: list[int] = []
    step = learner.Learner.step

    def watched(self: learner.Learner, batches: list[object], *rest: int) -> dict[str, float]:
        sizes.append(len(batches))
        return step(self, batches, *rest)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner.Learner, "step", watched)
        config = replace(CONFIG, places_per_batch=2, accumulate=3)
        train(small_set, tiny_encoders, tmp_path / "run", config=config)
    assert sizes == [3, 1]  # eight places are four batches of two


def test_an_image_that_cannot_be_decoded_is_left_out(
    small_set: Set, tiny_encoders: Names, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(small_set[0].parent / "images", tmp_path / "images")
    (folder / "3-1.png").write_bytes(b"no picture")
    table = small_set[0].parent / "table.csv"
    manifest = scan(folder, tmp_path / "damaged.parquet", table=table)
    train((manifest, small_set[1]), tiny_encoders, tmp_path / "run", without_captions=True)
    assert "1 images cannot be decoded and are left out" in caplog.text


def photographs(small_set: Set, names: Names, pool: object) -> Photographs:
    folder = small_set[0].parent / "images"
    paths = sorted(folder.glob("*.png"))
    encoders = AdaptedEncoders(
        load_image_encoder(names[0], SIZE),
        load_text_encoder(names[1]),
        AdapterConfig("bottleneck"),
        AdapterConfig("bottleneck"),
    )
    captions = [f"house {path.stem}" for path in paths]
    places = np.array([int(path.stem.split("-")[0]) for path in paths])
    return Photographs(paths, captions, places, None, None, encoders, pool)  # type: ignore[arg-type]


def test_a_batch_follows_from_its_number_and_not_from_what_came_before(
    small_set: Set, tiny_encoders: Names
) -> None:
    rows = np.array([0, 1, 4, 5, 8, 9])
    with open_pool() as pool:
        data = photographs(small_set, tiny_encoders, pool)
        mixes = [mix_captions(data.places[rows], rows, CONFIG, (0, 1, n)) for n in range(2)]
        first, second = data.batches(mixes, CONFIG, torch.device("cpu"))
        (alone,) = data.batches(mixes[1:], CONFIG, torch.device("cpu"))
    np.testing.assert_array_equal(second.pixels, alone.pixels)
    np.testing.assert_array_equal(second.shown, alone.shown)
    assert second.captions == alone.captions
    assert (first.pixels != second.pixels).any(), "another batch shows its images otherwise"
    hidden = [caption is None for caption in second.captions]
    np.testing.assert_array_equal(hidden, mixes[1].mute)


def test_images_are_read_as_the_frozen_encoder_sees_them(
    small_set: Set, tiny_encoders: Names
) -> None:
    with open_pool() as pool:
        data = photographs(small_set, tiny_encoders, pool)
        tokens = data.read(np.array([2, 7]))
    frozen = load_image_encoder(tiny_encoders[0], SIZE)
    expected = frozen.encode([Image.open(data.paths[2]), Image.open(data.paths[7])])
    np.testing.assert_allclose(tokens.image, expected, atol=2e-3)  # stored in 16 bits
    text, mask = load_text_encoder(tiny_encoders[1]).encode(["house 0-2", "house 1-3"])
    np.testing.assert_allclose(tokens.text, text, atol=2e-3)
    np.testing.assert_array_equal(tokens.mask, mask)


def test_an_image_that_vanishes_is_named(small_set: Set, tiny_encoders: Names) -> None:
    with open_pool() as pool:
        data = photographs(small_set, tiny_encoders, pool)
        gone = replace(data, paths=[Path("/nowhere/a.png"), *data.paths[1:]])
        with pytest.raises(InvalidError, match=r"/nowhere/a\.png can no longer be read"):
            gone.read(np.array([0, 1]))


def test_a_loss_that_is_not_a_number_keeps_what_was_good(
    small_set: Set, tiny_encoders: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vprcap.training import learner

    losses, calls = learner.batch_losses, []

    def failing(*arguments: object) -> dict[str, torch.Tensor]:
        calls.append(1)
        good = losses(*arguments)  # type: ignore[arg-type]
        return good if len(calls) < 4 else {"fused": good["fused"] * torch.nan}

    monkeypatch.setattr(learner, "batch_losses", failing)
    config = replace(CONFIG, epochs=4)
    with pytest.raises(InvalidError, match=r"not a number in epoch 2, batch 2 \(places"):
        train(small_set, tiny_encoders, tmp_path / "run", config=config)
    run = tmp_path / "run"
    assert encoders_of(run).image_adapters is not None, "the best model so far can be used"
    assert (run / "checkpoint.safetensors").is_file()
    for name in ("model.safetensors", "image_adapters.safetensors", "checkpoint.safetensors"):
        assert all(each.isfinite().all() for each in load_file(run / name).values())


def test_measurements_go_to_jsonl_and_tensorboard(
    small_set: Set, tiny_encoders: Names, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(small_set, tiny_encoders, tmp_path / "run")
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1]
    assert {"loss_fused", "gradient_norm", "learning_rate", "image_r1", "seconds"} <= set(rows[1])
    assert list((run / "tensorboard").glob("**/events.*"))
    said = capsys.readouterr().err
    count = sum(
        each.numel()
        for path in run.glob("*_adapters.safetensors")
        for each in load_file(path).values()
    )
    assert f"adapters {count:,}; frozen: image encoder " in said


def test_processes_share_the_batches_of_an_epoch_and_have_as_many_each() -> None:
    shares = [share(7, 3, mine) for mine in range(3)]
    assert shares == [[0, 3, 6], [1, 4, 0], [2, 5, 1]]


def test_two_processes_train_one_model(
    small_set: Set, tiny_encoders: Names, tmp_path: Path
) -> None:
    """On the CPU, with gloo; what GPUs would do with NCCL."""
    command = [
        *("train", str(small_set[0]), "--captions", str(small_set[1]), "--adapt", "bottleneck"),
        *("--image-encoder", tiny_encoders[0], "--text-encoder", tiny_encoders[1]),
        *("--image-size", "28x42", "--places-per-batch", "2", "--descriptor-dim", "8"),
        *("--epochs", "1", "--output", str(tmp_path / "run")),
    ]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "vprcap", *command],
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "training: 2 of 2" in done.stderr, "four batches are two for each"
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 2
    assert encoders_of(tmp_path / "run").image_adapters is not None
    assert not (tmp_path / "run/checkpoint.safetensors").exists()


def test_pickles_are_not_read(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="train one with `vprcap train`"):
        encoders_of(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(MissingError, match=r"but model\.pt: pickle files are not read"):
        encoders_of(tmp_path)


def test_adapter_weights_are_what_is_counted(tiny_encoders: Names) -> None:
    encoder = load_image_encoder(tiny_encoders[0], SIZE)
    encoder.adapt(AdapterConfig("bottleneck"))
    assert sum(each.numel() for each in adapter_weights(encoder.model).values()) == 2 * (
        16 * 8 + 8 + 8 * 16 + 16
    )
