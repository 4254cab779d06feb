import importlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vprcap.combiner import CombinerConfig, FeatureCombiner, describe
from vprcap.errors import InvalidError
from vprcap.training import TrainConfig, TrainingSet, fit
from vprcap.training.data import read_batch, split_places
from vprcap.training.drawing import draw_batches, mix_captions

# The package shows the function of this name; the module is needed to replace its parts.
FIT = importlib.import_module("vprcap.training.fit")
START = importlib.import_module("vprcap.training.start")
LEARNER = importlib.import_module("vprcap.training.learner")
SIZES = CombinerConfig(
    image_dim=12, text_dim=10, descriptor_dim=8, num_words=3, width=8, num_heads=2
)
SHORT = TrainConfig(epochs=2, places_per_batch=16)
CPU = torch.device("cpu")


def test_epochs_are_reported_from_before_training_on(toy_set: TrainingSet) -> None:
    reports: list[dict[str, float]] = []
    fit(toy_set, SIZES, SHORT, reports.append)
    assert [each["epoch"] for each in reports] == [0, 1, 2]
    assert "loss_fused" not in reports[0]
    assert {"loss_fused", "loss_image", "loss_text", "loss_relevance"} <= set(reports[1])
    assert {"fused_r1", "image_r1", "mean_gate", "gradient_norm", "seconds"} <= set(reports[1])


def test_captions_of_other_places_lower_the_mean_gate(toy_set: TrainingSet) -> None:
    combiner = fit(toy_set, SIZES, SHORT)
    image, text, mask = toy_set.image_tokens, toy_set.text_tokens, toy_set.text_mask
    _, own = describe(combiner, image, text, mask)
    _, shuffled = describe(combiner, image, np.roll(text, 40, axis=0), mask)
    assert shuffled.mean() < own.mean() - 0.5


def test_the_best_state_by_validation_is_returned_and_not_the_last(
    toy_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Five weights of the text, then three epochs.
    recalls = iter([0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.9, 0.3])
    states: list[dict[str, torch.Tensor]] = []

    def fake(combiner: FeatureCombiner, *_: object) -> dict[str, float]:
        states.append({name: each.clone() for name, each in combiner.state_dict().items()})
        return {"doubted_map": next(recalls), "fused_map": 0.0}

    monkeypatch.setattr(FIT, "validate", fake)
    monkeypatch.setattr(START, "validate", fake)
    combiner = fit(toy_set, SIZES, SHORT)
    kept = combiner.state_dict()
    assert all(torch.equal(kept[name], states[6][name]) for name in kept)
    assert not torch.equal(kept["text_scale"], states[7]["text_scale"])


def test_training_stops_when_validation_no_longer_improves(
    toy_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FIT, "validate", lambda *_: {"doubted_map": 0.5, "fused_map": 0.5})
    reports: list[dict[str, float]] = []
    fit(toy_set, SIZES, replace(SHORT, epochs=9, patience=2), reports.append)
    assert [each["epoch"] for each in reports] == [0, 1, 2]


def test_equal_seeds_give_equal_weights_and_leave_the_callers_random_numbers_alone(
    toy_set: TrainingSet,
) -> None:
    torch.manual_seed(5)
    first = fit(toy_set, SIZES, SHORT).state_dict()
    drawn = torch.rand(1)
    second = fit(toy_set, SIZES, SHORT).state_dict()
    other = fit(toy_set, SIZES, replace(SHORT, seed=1)).state_dict()
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["compress_image.weight"], other["compress_image.weight"])


def test_a_set_without_captions_trains_the_image_side(toy_set: TrainingSet) -> None:
    reports: list[dict[str, float]] = []
    mute = replace(toy_set, text_mask=np.zeros_like(toy_set.text_mask))
    combiner = fit(mute, SIZES, SHORT, reports.append)
    assert "loss_text" not in reports[1]
    assert np.isfinite(describe(combiner, mute.image_tokens)[0]).all()


def test_mapped_features_train_as_those_in_memory(toy_set: TrainingSet, tmp_path: Path) -> None:
    np.save(tmp_path / "tokens.npy", toy_set.image_tokens)
    mapped = replace(toy_set, image_tokens=np.load(tmp_path / "tokens.npy", mmap_mode="r"))
    expected, got = fit(toy_set, SIZES, SHORT), fit(mapped, SIZES, SHORT)
    assert torch.equal(expected.compress_image.weight, got.compress_image.weight)


def test_damaged_features_are_named_before_training(toy_set: TrainingSet) -> None:
    captions = toy_set.text_tokens.copy()
    captions[21] = np.nan  # the second view of place 5
    with pytest.raises(InvalidError, match="text features of 1 images .* first of place 5;"):
        fit(replace(toy_set, text_tokens=captions), SIZES, SHORT)


def test_a_loss_that_is_not_a_number_stops_training_and_names_the_batch(
    toy_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = torch.tensor(torch.nan, requires_grad=True)
    monkeypatch.setattr(LEARNER, "batch_losses", lambda *_: {"fused": nothing})
    with pytest.raises(InvalidError, match=r"not a number in epoch 1, batch 1 \(places"):
        fit(toy_set, SIZES, SHORT)


def test_tokens_that_the_combiner_was_not_configured_for_are_refused(toy_set: TrainingSet) -> None:
    with pytest.raises(InvalidError, match="have 12 .image. and 10 .text. numbers"):
        fit(toy_set, replace(SIZES, text_dim=11), SHORT)


def test_places_of_one_image_are_named(toy_set: TrainingSet) -> None:
    places = toy_set.places.copy()
    places[7] = 4711
    with pytest.raises(InvalidError, match="1 places have one image only.*: 4711; leave them out"):
        replace(toy_set, places=places)


def test_held_out_places_are_a_district_that_shares_no_image_with_training(
    toy_set: TrainingSet,
) -> None:
    metres = np.stack([toy_set.places, np.zeros(240)], axis=1) * 30.0  # one street of 60 places
    rows_of, held = split_places(replace(toy_set, positions=metres), SHORT)
    houses = np.unique(toy_set.places[held])
    assert len(houses) == 9  # 15 % of 60
    assert houses.max() - houses.min() == 8, "neighbours"
    together = np.concatenate([*rows_of, held])
    assert sorted(together) == list(range(240))
    assert all(len(np.unique(toy_set.places[rows])) == 1 for rows in rows_of)


def test_an_epoch_visits_every_training_place_once(toy_set: TrainingSet) -> None:
    rows_of, _ = split_places(toy_set, SHORT)
    batches = list(draw_batches(rows_of, SHORT, epoch=1))
    assert [len(rows) for rows in batches] == [64, 64, 64, 12]
    visited = toy_set.places[np.concatenate(batches)]
    assert (np.bincount(visited)[np.unique(visited)] == 4).all()
    assert len(np.unique(visited)) == len(rows_of) == 51


def test_an_image_of_the_batch_is_doubted_with_a_caption_of_another_place(
    toy_set: TrainingSet,
) -> None:
    config = replace(SHORT, wrong_captions=1.0, caption_dropout=0.3, patches_kept=0.5)
    rows_of, _ = split_places(toy_set, config)
    rows = next(draw_batches(rows_of, config, epoch=1))
    batch = read_batch(
        toy_set, mix_captions(toy_set.places[rows], rows, config, (0, 1, 0)), config, CPU
    )
    assert batch.image.shape == (64, 1 + 4, 12)
    assert (batch.places[batch.doubted] != batch.places[batch.strangers]).all()
    assert batch.mask[batch.strangers].any(dim=1).all()
    dropped = ~batch.mask.any(dim=1)
    assert 0.1 < dropped.float().mean() < 0.5
    np.testing.assert_array_equal(batch.image[:, 0].half(), toy_set.image_tokens[rows][:, 0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"caption_dropout": 1.5},
        {"wrong_captions": -0.1},
        {"validation_share": 0.0},
        {"patches_kept": 0.0},
        {"epochs": 0},
        {"places_per_batch": 1},
        {"accumulate": 0},
        {"precision": "fp8"},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidError):
        TrainConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"patience": 0},
        {"seed": -1},
        {"learning_rate": 0.0},
        {"adapter_learning_rate": float("nan")},
    ],
)
def test_a_schedule_that_cannot_train_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidError, match="patience starts at 1|learning rates lie between"):
        TrainConfig(**wrong)  # type: ignore[arg-type]
