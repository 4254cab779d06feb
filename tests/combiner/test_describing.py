import numpy as np
import torch

from vprcap.combiner import FeatureCombiner, describe
from vprcap.combiner.describing import BLOCK
from vprcap.training import TrainingSet


def test_blocks_give_what_one_pass_gives(combiner: FeatureCombiner, toy_set: TrainingSet) -> None:
    image, text = toy_set.image_tokens, toy_set.text_tokens
    assert len(image) > 2 * BLOCK
    descriptors, reliability = describe(combiner, image, text, toy_set.text_mask)
    with torch.no_grad():
        whole, gate = combiner(
            torch.from_numpy(image).float(),
            torch.from_numpy(text).float(),
            torch.from_numpy(toy_set.text_mask),
        )
    np.testing.assert_allclose(descriptors, whole, atol=1e-5)
    np.testing.assert_allclose(reliability, gate.mean(dim=1), atol=1e-5)


def test_an_empty_set_has_no_descriptors(combiner: FeatureCombiner, toy_set: TrainingSet) -> None:
    descriptors, reliability = describe(combiner, toy_set.image_tokens[:0])
    assert descriptors.shape == (0, 6)
    assert reliability.shape == (0,)


def test_images_alone_have_no_reliability(combiner: FeatureCombiner, toy_set: TrainingSet) -> None:
    assert not describe(combiner, toy_set.image_tokens)[1].any()
