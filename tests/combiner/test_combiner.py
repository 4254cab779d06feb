from collections.abc import Callable

import pytest
import torch

from vprcap.combiner import FeatureCombiner
from vprcap.errors import InvalidError

Inputs = Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def test_before_training_any_caption_leaves_the_descriptor_of_the_image_alone(
    new_combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    image, text, mask = make_inputs()
    torch.testing.assert_close(
        new_combiner(image, text, mask)[0], new_combiner(image)[0], atol=1e-5, rtol=0
    )


def test_after_training_a_caption_changes_the_descriptor(
    combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    image, text, mask = make_inputs()
    assert not torch.allclose(combiner(image, text, mask)[0], combiner(image)[0], atol=1e-2)


def test_descriptors_have_unit_length_in_every_mode(
    combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    image, text, mask = make_inputs()
    for given in ((image, text, mask), (image,), (None, text, mask)):
        lengths = combiner(*given)[0].norm(dim=-1)
        torch.testing.assert_close(lengths, torch.ones(3))


def test_an_empty_caption_is_no_caption(combiner: FeatureCombiner, make_inputs: Inputs) -> None:
    image, text, mask = make_inputs()
    descriptor, gate = combiner(image, text, torch.zeros_like(mask))
    torch.testing.assert_close(descriptor, combiner(image)[0], atol=1e-6, rtol=0)
    assert not gate.any()


def test_a_caption_that_is_not_believed_is_no_caption(
    combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    if combiner.config.gate == "none":
        pytest.skip("without a gate every caption is believed")
    image, text, mask = make_inputs()
    with torch.no_grad():
        combiner.recalibrate.agreement.offset.fill_(-1e4)
    descriptor, gate = combiner(image, text, mask)
    assert not gate.any()
    torch.testing.assert_close(descriptor, combiner(image)[0], atol=1e-6, rtol=0)


def test_padding_changes_nothing(combiner: FeatureCombiner, make_inputs: Inputs) -> None:
    image, text, mask = make_inputs()
    longer = torch.cat([text, 100 * torch.ones(3, 4, text.shape[2])], dim=1)
    wider = torch.cat([mask, torch.zeros(3, 4, dtype=torch.bool)], dim=1)
    for pictures in (image, None):
        descriptor, gate = combiner(pictures, text, mask)
        padded, padded_gate = combiner(pictures, longer, wider)
        torch.testing.assert_close(padded, descriptor, atol=1e-6, rtol=0)
        torch.testing.assert_close(padded_gate[:, :5], gate, atol=1e-6, rtol=0)
        assert not padded_gate[:, 5:].any()


def test_a_descriptor_does_not_depend_on_its_batch(
    combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    image, text, mask = make_inputs()
    order = torch.tensor([2, 0, 1])
    together = combiner(image, text, mask)[0]
    shuffled = combiner(image[order], text[order], mask[order])[0]
    torch.testing.assert_close(shuffled, together[order], atol=1e-6, rtol=0)
    for row in range(3):
        alone = combiner(image[[row]], text[[row]], mask[[row]])[0]
        torch.testing.assert_close(alone[0], together[row], atol=1e-6, rtol=0)


def test_the_order_of_patches_changes_nothing(
    combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    image, text, mask = make_inputs()
    order = torch.cat([torch.tensor([0]), 1 + torch.randperm(7)])
    torch.testing.assert_close(
        combiner(image[:, order], text, mask)[0], combiner(image, text, mask)[0], atol=1e-5, rtol=0
    )


def test_without_an_image_a_caption_is_believed(
    combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    _, text, mask = make_inputs()
    assert (combiner(None, text, mask)[1] == mask).all()


def test_gradients_reach_every_trainable_parameter_and_no_frozen_one(
    combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    image, text, mask = make_inputs()
    target = torch.randn(3, 6)
    fused, alone = combiner(image, text, mask)[0], combiner(image)[0]
    ((fused + alone) * target).sum().backward()
    parameters = dict(combiner.named_parameters())
    frozen = [name for name, each in parameters.items() if not each.requires_grad]
    untouched = [name for name, each in parameters.items() if each.grad is None]
    still = [name for name, each in parameters.items() if each.grad is not None]
    still = [name for name in still if not parameters[name].grad.any()]
    assert untouched == frozen
    # The key's bias moves all scores of a softmax alike.
    assert [name for name in still if not name.endswith("key.bias")] == []


def test_only_the_space_of_the_max_cosine_gate_is_frozen(combiner: FeatureCombiner) -> None:
    frozen = [name for name, each in combiner.named_parameters() if not each.requires_grad]
    if combiner.config.gate == "max-cosine":
        space = {f"recalibrate.agreement.{part}" for part in ("image", "text")}
        assert {name.rsplit(".", 1)[0] for name in frozen} == space
    else:
        assert frozen == []


def test_the_gate_does_not_bend_the_image_to_its_own_ends(
    combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    gate = combiner(*make_inputs())[1]
    assert gate.requires_grad == (combiner.config.gate != "none")
    if gate.requires_grad:
        gate.sum().backward()
    assert combiner.compress_image.weight.grad is None


def test_tokens_of_another_encoder_are_refused(
    combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    image, text, mask = make_inputs()
    with pytest.raises(InvalidError, match="image tokens have 11 numbers.* made for 12"):
        combiner(image[..., 1:])
    with pytest.raises(InvalidError, match="text tokens have 9 numbers.* made for 10"):
        combiner(image, text[..., 1:], mask)
    with pytest.raises(InvalidError, match="neither image tokens nor text tokens"):
        combiner(None)


def test_text_without_its_mask_is_refused_and_not_passed_over(
    combiner: FeatureCombiner, make_inputs: Inputs
) -> None:
    image, text, mask = make_inputs()
    for given in ((image, text, None), (image, None, mask)):
        with pytest.raises(InvalidError, match="belong together"):
            combiner(*given)
