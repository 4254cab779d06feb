import numpy as np
import pytest
import torch

from vprcap.combiner.closed_form import fit_space, visual_words, whitening


def test_words_are_the_centres_of_well_separated_tokens() -> None:
    rng = np.random.default_rng(0)
    corners = torch.eye(3)
    tokens = 5 * corners.repeat(50, 1) + 0.01 * torch.randn(150, 3)
    words = visual_words(tokens, 3, rng)
    nearest = (words @ corners).argmax(dim=1)
    assert sorted(nearest.tolist()) == [0, 1, 2] or len(nearest.unique()) < 3
    torch.testing.assert_close(words.norm(dim=-1).max(), torch.tensor(1.0), atol=1e-2, rtol=0)


def test_more_words_than_tokens_is_no_failure() -> None:
    words = visual_words(torch.randn(2, 3), 5, np.random.default_rng(0))
    assert words.shape == (5, 3)
    assert words.isfinite().all()


def test_whitened_rows_are_uncorrelated_of_equal_spread_and_of_length_one() -> None:
    torch.manual_seed(0)
    rows = torch.randn(200, 8) @ torch.randn(8, 8) + 3
    white = whitening(rows, 5)(rows)
    covariance = white.T @ white / len(rows)
    torch.testing.assert_close(white.mean(dim=0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(covariance, torch.eye(5) / 5, atol=1e-3, rtol=0)


def test_whitening_keeps_the_largest_components_first() -> None:
    torch.manual_seed(0)
    rows = torch.randn(500, 3) * torch.tensor([1.0, 9.0, 3.0])
    weight = whitening(rows, 3).weight.abs()
    assert (weight / weight.sum(dim=1, keepdim=True)).argmax(dim=1).tolist() == [1, 2, 0]


def test_whitening_of_few_rows_fills_the_rest_with_zeros() -> None:
    layer = whitening(torch.randn(4, 10), 6)
    assert (layer.weight.norm(dim=1) > 0).tolist() == [True] * 3 + [False] * 3
    assert layer.bias.isfinite().all()


def pairs(noise: float) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Images and captions of 100 places, four each, that share four of their eight numbers."""
    generator = torch.Generator().manual_seed(0)
    places = np.repeat(np.arange(100), 4)
    shared = torch.randn(100, 4, generator=generator)[places]
    views = torch.randn(2, 400, 8, generator=generator)
    views[0, :, :4] = shared + noise * views[0, :, :4]
    views[1, :, 4:] = shared + noise * views[1, :, 4:]
    return views[0], views[1], places


def probability(images: torch.Tensor, captions: torch.Tensor, places: np.ndarray) -> torch.Tensor:
    """What an agreement fitted on the first half of the places thinks of the second."""
    half = len(images) // 2
    image, text, slope, offset = fit_space(images[:half], captions[:half], places[:half], 4)
    cosines = torch.nn.functional.cosine_similarity(
        image(images[half:]), text(captions[half:]), dim=-1
    )
    return torch.sigmoid(slope * cosines + offset)


def test_agreement_believes_own_captions_and_not_those_of_other_places() -> None:
    images, captions, places = pairs(noise=0.1)
    assert probability(images, captions, places).mean() > 0.9
    shifted = captions.clone()
    shifted[200:] = captions[200:].roll(40, dims=0)
    assert probability(images, shifted, places).mean() < 0.2


def test_agreement_knows_when_captions_say_nothing_about_images() -> None:
    images, captions, places = pairs(noise=0.3)
    unrelated = torch.randn(captions.shape, generator=torch.Generator().manual_seed(1))
    believed = probability(images, unrelated, places)
    assert believed.mean().item() == pytest.approx(0.5, abs=0.05)
    assert believed.std().item() < 0.1, "nothing is believed or doubted for certain"
