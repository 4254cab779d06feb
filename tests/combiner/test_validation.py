import numpy as np
import pytest
import torch

from vprcap.combiner import CombinerConfig, FeatureCombiner, initialise
from vprcap.training import TrainConfig, TrainingSet
from vprcap.training.validation import _some_lent, scores, validate


def test_average_precision_and_recalls_are_those_of_a_hand_ranked_case() -> None:
    """Three images of place A, one of B that finds nobody."""
    similarity = np.array(
        [
            [-np.inf, 0.9, 0.1, 0.5],  # positives 1 and 2 are ranked 1st and 3rd: (1 + 2/3) / 2
            [0.2, -np.inf, 0.1, 0.8],  # positives 0 and 2 are ranked 2nd and 3rd: (1/2 + 2/3) / 2
            [0.7, 0.6, -np.inf, 0.1],  # both first: 1
            [0.5, 0.5, 0.5, -np.inf],  # has none and is not asked
        ]
    )
    places = np.array([0, 0, 0, 1])
    positive = (places[:, None] == places) & ~np.eye(4, dtype=bool)
    recalls, precision = scores(similarity, positive)
    assert recalls == [pytest.approx(2 / 3), 1.0, 1.0]
    assert precision == pytest.approx(((1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2 + 1) / 3)


def test_lent_captions_are_of_other_places_and_always_the_same() -> None:
    places = np.repeat(np.arange(50), 4)
    config = TrainConfig(wrong_captions=0.25)
    lent = _some_lent(places, config)
    changed = lent != np.arange(200)
    assert 0.15 < changed.mean() < 0.35
    assert (places[lent[changed]] != places[changed]).all()
    assert np.array_equal(lent, _some_lent(places, config))


def test_a_gate_that_believes_everything_validates_worse_where_captions_are_lent(
    toy_set: TrainingSet,
) -> None:
    scores = {}
    for gate in ("none", "global"):
        torch.manual_seed(0)
        config = CombinerConfig(12, 10, descriptor_dim=8, gate=gate, num_words=3, width=8)
        combiner = FeatureCombiner(config)
        initialise(
            combiner,
            toy_set.image_tokens,
            toy_set.text_tokens,
            toy_set.text_mask,
            toy_set.places,
        )
        combiner.text_scale.data.fill_(1.0)
        scores[gate] = validate(combiner, toy_set, np.arange(240), TrainConfig())
    assert scores["none"]["fused_map"] > scores["none"]["doubted_map"] + 0.05
    assert scores["global"]["doubted_map"] > scores["none"]["doubted_map"] + 0.02
