import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn.functional import gelu, layer_norm, relu
from transformers import BertConfig, BertModel, BertTokenizer, Dinov2Config, Dinov2Model

from vprcap.encoders import load_image_encoder, load_text_encoder
from vprcap.encoders.adapters import (
    AdapterConfig,
    BottleneckAdapter,
    MultiConvAdapter,
    adapter_weights,
    save_adapters,
)
from vprcap.encoders.bert import BertEncoder
from vprcap.encoders.dinov2 import Dinov2Encoder
from vprcap.errors import InvalidError, MissingError

SIZE = (28, 42)  # 2 x 3 patches
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "brick", "house"]
NARROW_BIASES = ("paths.1.0.0.bias", "paths.2.0.0.bias")
CONFIGS = [
    AdapterConfig(kind, norm) for kind in ("bottleneck", "multiconv") for norm in (False, True)
]


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DINOv2 of three blocks whose layer scales are not 1."""
    path = tmp_path_factory.mktemp("dinov2")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    model = Dinov2Model(Dinov2Config(**sizes, image_size=28, patch_size=14))
    for block in model.encoder.layer:
        block.layer_scale2.lambda1.data.uniform_(0.5, 2)
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and three words."""
    path = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(**sizes, vocab_size=len(WORDS), intermediate_size=16)
    BertModel(config).save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(vocab=str(path / "vocab.txt")).save_pretrained(path)
    return path


def pictures(count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, *SIZE, 3), dtype=np.uint8)


def disturb(model: torch.nn.Module) -> None:
    """Move the adapters away from where they do nothing, biases up so that no ReLU is dead."""
    torch.manual_seed(1)
    for weight in adapter_weights(model).values():
        weight.data.add_(0.3 * torch.randn_like(weight) + (0.5 if weight.ndim == 1 else 0))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_fresh_adapters_leave_an_image_encoder_exactly_as_it_was(
    dinov2: Path, config: AdapterConfig
) -> None:
    frozen, adapted = (load_image_encoder(str(dinov2), SIZE) for _ in range(2))
    adapted.adapt(config)
    assert torch.equal(frozen.tokens(pictures()), adapted.tokens(pictures()))
    disturb(adapted.model)
    assert not torch.allclose(frozen.tokens(pictures()), adapted.tokens(pictures()), atol=1e-3)


@pytest.mark.parametrize("norm", [False, True])
def test_fresh_adapters_leave_a_text_encoder_exactly_as_it_was(bert: Path, norm: bool) -> None:
    frozen, adapted = (load_text_encoder(str(bert)) for _ in range(2))
    adapted.adapt(AdapterConfig("bottleneck", norm))
    captions = ["red brick house", "red", None]
    assert torch.equal(frozen.tokens(captions)[0], adapted.tokens(captions)[0])
    disturb(adapted.model)
    assert not torch.allclose(frozen.tokens(captions)[0], adapted.tokens(captions)[0], atol=1e-3)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_gradients_reach_every_adapter_and_no_frozen_weight(
    dinov2: Path, bert: Path, config: AdapterConfig
) -> None:
    image, text = load_image_encoder(str(dinov2), SIZE), load_text_encoder(str(bert))
    image.adapt(config)
    text.adapt(AdapterConfig("bottleneck", config.norm))
    disturb(image.model)
    disturb(text.model)
    for tokens in (image.tokens(pictures()), text.tokens(["red brick", "house"])[0]):
        (tokens * torch.randn_like(tokens)).sum().backward()
    for model, blocks in ((image.model, 3), (text.model, 2)):
        adapters = adapter_weights(model)
        assert len({name.split(".")[2] for name in adapters}) == blocks
        for name, weight in model.named_parameters():
            assert weight.requires_grad == (name in adapters), name
            assert (weight.grad is not None) == (name in adapters), name
            # A norm of one channel takes away the bias just before it: its gradient is 0.
            if name in adapters and not (config.norm and name.endswith(NARROW_BIASES)):
                assert weight.grad is not None and weight.grad.any(), name


def test_an_image_block_adds_mlp_and_adapter_of_the_normalised_tokens(dinov2: Path) -> None:
    """x + scale2 * MLP(LN x) + 0.2 * up(relu(down(LN x))), written out."""
    encoder = load_image_encoder(f"{dinov2}@1", SIZE)
    encoder.adapt(AdapterConfig("bottleneck"))
    disturb(encoder.model)
    block = encoder.model.encoder.layer[0]
    tokens = torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(0))
    attended = tokens + block.layer_scale1(block.attention(block.norm1(tokens))[0])
    norm, mlp, adapter = block.norm2, block.mlp.mlp, block.mlp.adapter
    seen = layer_norm(attended, (16,), norm.weight, norm.bias, 1e-6)
    hidden = gelu(seen @ mlp.fc1.weight.T + mlp.fc1.bias) @ mlp.fc2.weight.T + mlp.fc2.bias
    small = relu(seen @ adapter.down.weight.T + adapter.down.bias)
    small = 0.2 * (small @ adapter.up.weight.T + adapter.up.bias)
    expected = attended + block.mlp.layer_scale.lambda1 * hidden + small
    torch.testing.assert_close(block(tokens), expected)


def test_a_text_block_adds_the_adapter_before_its_last_norm(bert: Path) -> None:
    encoder = load_text_encoder(str(bert))
    encoder.adapt(AdapterConfig("bottleneck"))
    disturb(encoder.model)
    block = encoder.model.encoder.layer[0]
    tokens = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    attended = block.attention(tokens)[0]
    output, adapter = block.output.output, block.output.adapter
    hidden = gelu(attended @ block.intermediate.dense.weight.T + block.intermediate.dense.bias)
    hidden = hidden @ output.dense.weight.T + output.dense.bias
    small = relu(attended @ adapter.down.weight.T + adapter.down.bias)
    small = 0.2 * (small @ adapter.up.weight.T + adapter.up.bias)
    norm = output.LayerNorm
    expected = layer_norm(attended + hidden + small, (8,), norm.weight, norm.bias, norm.eps)
    torch.testing.assert_close(block(tokens), expected)


def test_adapters_have_the_published_sizes() -> None:
    """ViT-B: 768 -> 384 -> 768, and CricaVPR's three paths (0.763 M with its batch norms)."""
    linear = 768 * 384 + 384 + 384 * 768 + 768
    paths = (384 * 192 + 192) + (384 * 24 + 24) * 2 + (24 * 96 * 9 + 96) + (24 * 96 * 25 + 96)
    sizes = [
        sum(each.numel() for each in adapter.parameters())
        for adapter in (BottleneckAdapter(768, False), MultiConvAdapter(768, (16, 16), False))
    ]
    assert sizes == [linear, linear + paths]
    assert 0.76e6 < linear + paths < 0.764e6


def test_a_patch_reaches_neighbours_up_to_two_away_and_never_the_class_token() -> None:
    torch.manual_seed(0)
    adapter = MultiConvAdapter(16, (7, 9), norm=False)
    for weight in adapter.parameters():
        weight.data.normal_()
    tokens = torch.randn(1, 1 + 63, 16)
    moved = tokens.clone()
    moved[0, 1 + 3 * 9 + 4] += 1  # row 3, column 4
    changed = (adapter(tokens) != adapter(moved)).any(dim=-1)[0]
    assert not changed[0]
    rows, columns = np.nonzero(changed[1:].reshape(7, 9).numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 5, 2, 6)


def test_the_class_token_is_its_own_affair() -> None:
    adapter = MultiConvAdapter(16, (2, 2), norm=True)
    torch.nn.init.normal_(adapter.up.weight)
    tokens = torch.randn(1, 5, 16)
    moved = torch.cat([tokens[:, :1] + 1, tokens[:, 1:]], dim=1)
    assert torch.equal(adapter(tokens)[:, 1:], adapter(moved)[:, 1:])


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_tokens_do_not_depend_on_their_batch(dinov2: Path, config: AdapterConfig) -> None:
    encoder = load_image_encoder(str(dinov2), SIZE)
    encoder.adapt(config)
    disturb(encoder.model)
    together = encoder.tokens(pictures(3))
    torch.testing.assert_close(encoder.tokens(pictures(3)[1:2]), together[1:2])


def test_adapters_may_stand_in_the_last_blocks_only(dinov2: Path) -> None:
    encoder = load_image_encoder(f"{dinov2}@2", SIZE)
    encoder.adapt(AdapterConfig("bottleneck", blocks=1))
    assert {name.split(".")[2] for name in adapter_weights(encoder.model)} == {"1"}
    with pytest.raises(InvalidError, match="4 blocks with adapters, but the encoder has 3"):
        load_image_encoder(str(dinov2), SIZE).adapt(AdapterConfig("bottleneck", blocks=4))


def test_hidden_patches_leave_the_tokens_of_the_shown_ones(dinov2: Path) -> None:
    """With all tokens named the result is the whole; naming some gives as many."""
    encoder = load_image_encoder(str(dinov2), SIZE)
    every = np.tile(np.arange(7), (2, 1))
    torch.testing.assert_close(encoder.tokens(pictures(), every), encoder.tokens(pictures()))
    assert encoder.tokens(pictures(), every[:, :4]).shape == (2, 4, 16)
    encoder.adapt(AdapterConfig("multiconv"))
    disturb(encoder.model)
    some = np.array([[0, 5, 2], [0, 1, 6]])
    whole = encoder.tokens(pictures())
    chosen = torch.stack([whole[0, [0, 5, 2]], whole[1, [0, 1, 6]]])
    torch.testing.assert_close(encoder.tokens(pictures(), some), chosen)


def stored(encoder: Dinov2Encoder | BertEncoder, config: AdapterConfig, path: Path) -> Path:
    encoder.adapt(config)
    disturb(encoder.model)
    save_adapters(encoder.model, config, path)
    return path


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_stored_image_adapters_give_the_same_bits(
    dinov2: Path, tmp_path: Path, config: AdapterConfig
) -> None:
    trained = load_image_encoder(str(dinov2), SIZE)
    path = stored(trained, config, tmp_path / "adapters.safetensors")
    loaded = load_image_encoder(str(dinov2), SIZE, adapters=path)
    assert torch.equal(trained.tokens(pictures()), loaded.tokens(pictures()))
    assert not any(each.requires_grad for each in loaded.model.parameters())
    frozen = load_image_encoder(str(dinov2), SIZE)
    assert loaded.provenance.startswith(f"{frozen.provenance} adapters ")
    images = [Image.fromarray(each) for each in pictures()]
    np.testing.assert_array_equal(loaded.encode(images), loaded.tokens(pictures()).numpy())


def test_stored_text_adapters_give_the_same_bits(bert: Path, tmp_path: Path) -> None:
    trained = load_text_encoder(str(bert))
    path = stored(trained, AdapterConfig("bottleneck"), tmp_path / "adapters.safetensors")
    loaded = load_text_encoder(str(bert), adapters=path)
    assert torch.equal(trained.tokens(["red house"])[0], loaded.tokens(["red house"])[0])
    assert loaded.provenance != load_text_encoder(str(bert)).provenance


def test_adapters_of_another_encoder_are_refused_in_one_line(
    dinov2: Path, bert: Path, tmp_path: Path
) -> None:
    encoder = load_image_encoder(f"{dinov2}@2", SIZE)
    path = stored(encoder, AdapterConfig("bottleneck"), tmp_path / "adapters.safetensors")
    for name in (str(dinov2), f"{dinov2}@1"):
        with pytest.raises(InvalidError, match="adapters of another encoder or layer") as raised:
            load_image_encoder(name, SIZE, adapters=path)
        assert "\n" not in str(raised.value)
    with pytest.raises(InvalidError, match="adapters of another encoder"):
        load_text_encoder(str(bert), adapters=path)
    narrow = {name: each[..., :4] for name, each in load_file(path).items()}
    config = {"vprcap.adapters": json.dumps({"kind": "bottleneck", "norm": False, "blocks": None})}
    save_file({name: each.contiguous() for name, each in narrow.items()}, path, config)
    with pytest.raises(InvalidError, match=r"is \(8, 4\) there and \(8, 16\) here"):
        load_image_encoder(f"{dinov2}@2", SIZE, adapters=path)


def test_files_that_hold_no_adapters_are_refused(dinov2: Path, tmp_path: Path) -> None:
    damaged, other = tmp_path / "damaged.safetensors", tmp_path / "other.safetensors"
    damaged.write_bytes(b"not weights")
    save_file({"a": torch.zeros(1)}, other)
    for path in (damaged, other):
        with pytest.raises(InvalidError, match="holds no adapters"):
            load_image_encoder(str(dinov2), SIZE, adapters=path)
    with pytest.raises(MissingError, match="no adapters at"):
        load_image_encoder(str(dinov2), SIZE, adapters=tmp_path / "absent")


def test_unknown_adapters_are_refused() -> None:
    with pytest.raises(InvalidError, match="no adapter 'lora'; there are: bottleneck, multiconv"):
        AdapterConfig("lora")
    with pytest.raises(InvalidError, match="the least is 1"):
        AdapterConfig("bottleneck", blocks=0)
