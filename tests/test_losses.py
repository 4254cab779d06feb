from math import exp, log

import pytest
import torch

from vprcap.losses import crossing_loss, place_loss, relevance_loss


def on_circle(*degrees: float) -> torch.Tensor:
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_the_loss_is_multi_similarity_with_the_constants_of_the_field() -> None:
    """By hand: alpha 1, beta 50, base 0, each of the four images has one hard pair of each kind."""
    descriptors = on_circle(0, 90, 45, 135)
    places = torch.tensor([0, 0, 1, 1])
    near, far = 0.5**0.5, -(0.5**0.5)  # cos 45 and cos 135; partners are at 90 degrees: cosine 0
    inner = log(1 + exp(0)) + log(1 + 2 * exp(50 * near)) / 50  # at 45 and 90: two near strangers
    outer = log(1 + exp(0)) + log(1 + exp(50 * near)) / 50  # at 0 and 135: one near, one far
    assert far + 0.1 < 0, "the far stranger is too easy to be mined"
    loss = place_loss(descriptors, places)
    assert loss.item() == pytest.approx((2 * inner + 2 * outer) / 4, abs=1e-4)


def test_different_places_closer_than_the_radius_are_neither_positive_nor_negative() -> None:
    descriptors = on_circle(0, 5, 0, 5)
    places = torch.tensor([0, 0, 1, 1])
    near = torch.tensor([[0.0, 0.0], [0.0, 0.0], [24.0, 0.0], [24.0, 0.0]])
    far = near * 2
    pull = log(1 + exp(-descriptors[0].dot(descriptors[1]).item()))
    assert place_loss(descriptors, places, near).item() == pytest.approx(pull, abs=1e-5)
    assert place_loss(descriptors, places, far) > place_loss(descriptors, places, near) + 0.5
    assert place_loss(descriptors, places, far) == place_loss(descriptors, places)


def test_images_of_one_place_close_together_stay_positive() -> None:
    descriptors = on_circle(0, 80, 85, 170)
    places = torch.tensor([0, 0, 1, 1])
    here = torch.zeros(4, 2)
    assert place_loss(descriptors, places, here) > 0


def test_a_batch_without_pairs_has_a_loss_of_zero_that_can_be_differentiated() -> None:
    descriptors = on_circle(0, 90).requires_grad_()
    loss = place_loss(descriptors, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 0


def test_relevance_is_the_mean_cross_entropy_of_both_kinds() -> None:
    own, strangers = torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.75])
    assert relevance_loss(own, strangers).item() == pytest.approx((log(2) + log(4)) / 2)


def test_relevance_is_finite_for_a_gate_that_is_certainly_wrong_and_for_no_captions() -> None:
    none = torch.zeros(0)
    assert relevance_loss(torch.zeros(2), torch.ones(2)).isfinite()
    assert relevance_loss(none, none) == 0


def test_a_caption_finds_the_images_of_its_place_and_flees_those_of_others() -> None:
    """By hand: two equal queries at 45 degrees, their own image at 90, a stranger's at 0."""
    queries, images = on_circle(45, 45), on_circle(90, 0)
    loss = crossing_loss(queries, torch.tensor([0, 0]), images, torch.tensor([0, 1]))
    near = 0.5**0.5
    expected = log(1 + exp(-near)) + log(1 + exp(50 * near)) / 50
    assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_a_caption_neither_seeks_nor_flees_images_of_places_next_door() -> None:
    queries, images = on_circle(45, 45), on_circle(90, 0)
    positions = torch.tensor([[0.0, 0.0], [20.0, 0.0]])
    rows, places = torch.tensor([0, 0]), torch.tensor([0, 1])
    near = crossing_loss(queries, rows, images, places, positions)
    far = crossing_loss(queries, rows, images, places, 2 * positions)
    assert near.item() == pytest.approx(log(1 + exp(-(0.5**0.5))), abs=1e-4)
    assert far > near + 0.5
