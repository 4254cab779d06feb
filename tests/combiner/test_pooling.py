import torch

from vprcap.combiner import CombinerConfig
from vprcap.combiner.pooling import ClassPooling, GemPooling, WordPooling, build_pooling


def test_a_configuration_names_its_pooling() -> None:
    kinds = {"words": WordPooling, "gem": GemPooling, "class": ClassPooling}
    for name, kind in kinds.items():
        assert type(build_pooling(CombinerConfig(12, 10, pooling=name))) is kind


def test_gem_is_the_cubic_mean_of_what_is_positive_beside_the_class_token() -> None:
    tokens = torch.tensor([[[3.0, 4.0], [1.0, 0.0], [3.0, -5.0]]])
    # patches: ((1 + 27) / 2)^(1/3) = 14^(1/3) and 0, of unit norm (1, 0); class token (0.6, 0.8)
    torch.testing.assert_close(
        GemPooling(2)(tokens), torch.tensor([[1.0, 0.0, 0.6, 0.8]]), atol=1e-5, rtol=0
    )


def test_gem_learns_its_power() -> None:
    pooling = GemPooling(2)
    tokens = torch.tensor([[[1.0, 0.0], [1.0, 2.0], [3.0, 1.0]]])
    pooling(tokens)[0, 0].backward()
    assert pooling.power.grad is not None and pooling.power.grad.abs() > 1e-3


def test_class_pooling_sees_no_patch() -> None:
    tokens = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
    torch.testing.assert_close(ClassPooling(2)(tokens), torch.tensor([[0.6, 0.8]]))
