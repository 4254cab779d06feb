import numpy as np
import torch
from sklearn.decomposition import PCA

from vprcap.combiner import CombinerConfig, FeatureCombiner, describe, initialise
from vprcap.training import TrainingSet

CONFIG = CombinerConfig(
    image_dim=12, text_dim=10, descriptor_dim=8, num_words=3, width=8, num_heads=2
)


def initialised(data: TrainingSet, seed: int = 0) -> FeatureCombiner:
    torch.manual_seed(0)
    combiner = FeatureCombiner(CONFIG)
    initialise(
        combiner, data.image_tokens, data.text_tokens, data.text_mask, data.places, seed=seed
    )
    return combiner


def test_images_alone_are_whitened_residuals_around_visual_words(toy_set: TrainingSet) -> None:
    """The same by the book: hard loops for the residuals, scikit-learn for the whitening."""
    combiner = initialised(toy_set)
    words = combiner.pool.words.detach().double().numpy()
    tokens = (toy_set.image_tokens.astype(float) - combiner.token_mean.numpy()) / (
        combiner.token_scale.numpy()
    )
    pooled = []
    for patches in tokens[:, 1:]:
        residuals = np.zeros((3, 12))
        for patch in patches / np.linalg.norm(patches, axis=1, keepdims=True):
            closeness = np.exp(-10 * ((patch - words) ** 2).sum(axis=1))
            residuals += (closeness / closeness.sum())[:, None] * (patch - words)
        pooled.append(
            (residuals / np.linalg.norm(residuals, axis=1, keepdims=True)).ravel() / 3**0.5
        )
    expected = PCA(8, whiten=True, svd_solver="full").fit_transform(np.array(pooled))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    descriptors, _ = describe(combiner, toy_set.image_tokens)
    np.testing.assert_allclose(descriptors @ descriptors.T, expected @ expected.T, atol=1e-3)


def test_the_text_has_no_weight_yet(toy_set: TrainingSet) -> None:
    combiner = initialised(toy_set)
    fused, _ = describe(combiner, toy_set.image_tokens, toy_set.text_tokens, toy_set.text_mask)
    alone, _ = describe(combiner, toy_set.image_tokens)
    np.testing.assert_allclose(fused, alone, atol=1e-5)


def test_no_text_adds_nothing_whatever_the_weight_of_the_text(toy_set: TrainingSet) -> None:
    combiner = initialised(toy_set)
    before, _ = describe(combiner, toy_set.image_tokens)
    combiner.text_scale.data.fill_(1.0)
    after, _ = describe(combiner, toy_set.image_tokens)
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_the_gate_believes_own_captions_more_than_those_of_other_places(
    toy_set: TrainingSet,
) -> None:
    combiner = initialised(toy_set)
    text, mask = toy_set.text_tokens, toy_set.text_mask
    _, own = describe(combiner, toy_set.image_tokens, text, mask)
    _, other = describe(combiner, toy_set.image_tokens, np.roll(text, 40, axis=0), mask)
    assert own.mean() > other.mean() + 0.5


def test_equal_seeds_give_equal_bits(toy_set: TrainingSet) -> None:
    first, second = initialised(toy_set).state_dict(), initialised(toy_set).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_without_captions_the_text_side_stays_as_it_is(toy_set: TrainingSet) -> None:
    torch.manual_seed(0)
    combiner = FeatureCombiner(CONFIG)
    before = combiner.compress_text.weight.clone()
    nothing = np.zeros_like(toy_set.text_mask)
    initialise(combiner, toy_set.image_tokens, toy_set.text_tokens, nothing, toy_set.places)
    assert torch.equal(combiner.compress_text.weight, before)
