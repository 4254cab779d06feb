from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from vprcap.combiner import CombinerConfig, FeatureCombiner
from vprcap.losses import place_loss
from vprcap.training import TrainConfig, TrainingSet
from vprcap.training.data import Batch
from vprcap.training.objective import batch_losses

CONFIG = TrainConfig()


@pytest.fixture
def batch(toy_set: TrainingSet) -> Batch:
    rows = np.arange(16)
    return Batch(
        image=torch.from_numpy(toy_set.image_tokens[rows].astype(np.float32)),
        text=torch.from_numpy(toy_set.text_tokens[rows].astype(np.float32)),
        mask=torch.from_numpy(toy_set.text_mask[rows]),
        doubted=torch.tensor([0, 1]),
        strangers=torch.tensor([8, 9]),
        places=torch.from_numpy(toy_set.places[rows]),
        positions=None,
    )


@pytest.fixture
def model() -> FeatureCombiner:
    torch.manual_seed(0)
    return FeatureCombiner(CombinerConfig(12, 10, descriptor_dim=8, num_words=3, width=8))


def test_a_loss_is_the_mean_over_the_lengths_that_a_descriptor_may_be_cut_to(
    batch: Batch, model: FeatureCombiner
) -> None:
    whole, _ = model(batch.image, batch.text, batch.mask)
    cuts = [normalize(whole[:, :dim], dim=-1) for dim in (2, 4, 8)]
    expected = sum(place_loss(cut, batch.places).item() for cut in cuts) / 3
    losses = batch_losses(model, batch, CONFIG, dims=(2, 4, 8))
    assert losses["fused"].item() == pytest.approx(expected, rel=1e-5)


def test_the_lengths_are_those_of_the_field_below_the_whole_one() -> None:
    dims = {dim: CombinerConfig(12, 10, dim).prefix_dims for dim in (64, 512, 600, 2048)}
    assert dims[64] == (64,)
    assert dims[512] == (128, 256, 512)
    assert dims[600] == (128, 256, 512, 600)
    assert dims[2048] == (128, 256, 512, 1024, 2048)


def test_images_without_captions_are_trained_as_images(
    batch: Batch, model: FeatureCombiner
) -> None:
    nothing = replace(batch, mask=torch.zeros_like(batch.mask))
    assert set(batch_losses(model, nothing, CONFIG, (8,))) == {"image"}


def test_every_way_to_ask_has_a_share_in_the_loss(batch: Batch, model: FeatureCombiner) -> None:
    names = {"image", "fused", "text", "crossing", "relevance"}
    assert set(batch_losses(model, batch, CONFIG, (8,))) == names
