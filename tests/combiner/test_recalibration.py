import math
from collections.abc import Callable

import torch

from vprcap.combiner import CombinerConfig
from vprcap.combiner.recalibration import GlobalGate, MaxCosineGate, OpenGate, TokenGate

CONFIG = CombinerConfig(image_dim=12, text_dim=10, descriptor_dim=6, width=8, num_heads=2)
Inputs = Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def agreeable(gate: GlobalGate | MaxCosineGate | TokenGate) -> None:
    """Random agreement that has a say."""
    with torch.no_grad():
        gate.agreement.slope.fill_(4.0)
        gate.agreement.offset.fill_(-1.0)


def test_the_max_cosine_gate_believes_a_token_by_its_best_patch(make_inputs: Inputs) -> None:
    """By a loop over word pieces and patches."""
    torch.manual_seed(0)
    gate = MaxCosineGate(CONFIG)
    agreeable(gate)
    image, text, mask = make_inputs()
    found = gate(text, mask, image, torch.zeros(3, 6))
    for row, length in ((0, 1), (1, 2), (2, 3)):
        patches = [gate.agreement.image(patch) for patch in image[row, 1:]]
        for token in range(length):
            word = gate.agreement.text(text[row, token])
            best = max(torch.dot(word, p).item() / (word.norm() * p.norm()).item() for p in patches)
            expected = 1 / (1 + math.exp(-(4 * best - 1)))
            assert abs(found[row, token].item() - expected) < 1e-5
        assert not found[row, length:].any()


def test_the_max_cosine_gate_has_two_numbers_to_learn() -> None:
    learned = [each for each in MaxCosineGate(CONFIG).parameters() if each.requires_grad]
    assert sum(each.numel() for each in learned) == 2


def test_the_global_gate_gives_all_tokens_of_a_caption_one_verdict(make_inputs: Inputs) -> None:
    torch.manual_seed(0)
    gate = GlobalGate(CONFIG)
    agreeable(gate)
    image, text, mask = make_inputs()
    found = gate(text, mask, image, torch.randn(3, 6))
    verdicts = [row[row > 0].unique() for row in found]
    assert [len(each) for each in verdicts] == [1, 1, 1]
    assert len(torch.cat(verdicts).unique()) == 3


def test_before_training_the_token_gate_is_the_global_one(make_inputs: Inputs) -> None:
    torch.manual_seed(0)
    whole, single = GlobalGate(CONFIG), TokenGate(CONFIG)
    single.agreement.load_state_dict(whole.agreement.state_dict())
    for gate in (whole, single):
        agreeable(gate)
    image, text, mask = make_inputs()
    summary = torch.randn(3, 6)
    torch.testing.assert_close(
        single(text, mask, image, summary), whole(text, mask, image, summary)
    )


def test_without_a_gate_every_token_is_believed(make_inputs: Inputs) -> None:
    _, text, mask = make_inputs()
    assert torch.equal(OpenGate()(text, mask), mask.float())
