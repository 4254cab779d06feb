import torch

from vprcap.combiner import CombinerConfig
from vprcap.combiner.fusion import FUSION_TOKENS, EfficientFusionLayer, FusionLayer, build_fusion

CONFIG = CombinerConfig(image_dim=12, text_dim=10, width=8, num_heads=2, num_layers=3)


def belief(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows)


def moved(layer: torch.nn.Module) -> torch.nn.Module:
    """A layer whose messages are not zero."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def test_a_configuration_names_its_layers() -> None:
    assert [type(each) for each in build_fusion(CONFIG)] == 3 * [FusionLayer]
    efficient = CombinerConfig(12, 10, width=8, num_heads=2, fusion="efficient")
    assert [type(each) for each in build_fusion(efficient)] == [EfficientFusionLayer]
    assert len(build_fusion(CombinerConfig(12, 10, width=8, num_heads=2, fusion="none"))) == 0


def test_an_efficient_layer_lets_streams_meet_only_in_its_fusion_tokens() -> None:
    """No attention has both streams as its sides: scores are m x N and m x L, never N x L."""
    torch.manual_seed(0)
    layer = moved(EfficientFusionLayer(12, 10, 8, 2))
    sides = []
    for name in ("from_image", "from_text", "to_image", "to_text"):
        getattr(layer, name).register_forward_hook(
            lambda _, given, __: sides.append((given[0].shape[1], given[1].shape[1]))
        )
    layer(torch.randn(1, 33, 12), torch.randn(1, 21, 10), torch.full((1, 21), 1 / 21))
    assert sides == [(FUSION_TOKENS, 33), (FUSION_TOKENS, 21), (33, 8), (21, 8)]


def test_an_efficient_layer_leaves_the_image_alone_where_only_no_text_is_believed() -> None:
    torch.manual_seed(0)
    layer = moved(EfficientFusionLayer(12, 10, 8, 2))
    image, text = torch.randn(2, 5, 12), torch.randn(2, 3, 10)
    seen, _ = layer(image, text, belief([1.0, 0.0, 0.0], [0.2, 0.4, 0.4]))
    assert torch.equal(seen[0], image[0])
    assert not torch.allclose(seen[1], image[1], atol=1e-2)


def test_an_efficient_layer_does_not_hear_a_token_without_belief() -> None:
    torch.manual_seed(0)
    layer = moved(EfficientFusionLayer(12, 10, 8, 2))
    image, text = torch.randn(1, 5, 12), torch.randn(1, 3, 10)
    other = text.clone()
    other[0, 2] = 100.0
    share = belief([0.5, 0.5, 0.0])
    torch.testing.assert_close(layer(image, text, share)[0], layer(image, other, share)[0])
