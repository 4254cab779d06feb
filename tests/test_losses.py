import pytest
import torch

from vprcap.losses import place_loss, relevance_loss


def unit(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


PLACES = torch.tensor([0, 0, 1, 1])


def test_places_told_apart_cost_less_than_places_mixed_up() -> None:
    apart, mixed = unit(0, 2, 90, 92), unit(0, 90, 2, 92)
    assert place_loss(apart, PLACES) < place_loss(mixed, PLACES)


def test_different_places_that_are_near_in_metres_do_not_repel() -> None:
    descriptors = unit(0, 40, 10, 50)
    near = torch.tensor([[0.0, 0.0], [1.0, 0.0], [20.0, 0.0], [24.0, 0.0]])
    far = near + torch.tensor([[0.0, 0.0], [0.0, 0.0], [500.0, 0.0], [500.0, 0.0]])
    unknown = place_loss(descriptors, PLACES)
    assert place_loss(descriptors, PLACES, far) == pytest.approx(unknown.item())
    assert place_loss(descriptors, PLACES, near) < unknown


def test_relevance_costs_nothing_where_every_caption_is_judged_rightly() -> None:
    sure = relevance_loss(torch.ones(3), torch.zeros(3))
    wrong = relevance_loss(torch.zeros(3), torch.ones(3))
    # Undecided about every caption: -log 0.5 for either kind.
    undecided = relevance_loss(torch.full((3,), 0.5), torch.full((2,), 0.5))
    assert sure.item() == pytest.approx(0, abs=1e-5)
    assert undecided.item() == pytest.approx(0.6931, abs=1e-3)
    assert wrong > undecided
