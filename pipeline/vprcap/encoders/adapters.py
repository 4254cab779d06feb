"""Adapters: small trained modules inside the blocks of a frozen encoder.

Each stands parallel to a block's MLP, `x + MLP(LN x) + s A(LN x)`, and ends in a layer that starts
at zero: before training the encoder is, bit by bit, the frozen one. Sizes follow
`AdaptFormer` (Chen et al., 2022) as place recognition uses it (SelaVPR, CricaVPR): half the width
inside, s = 0.2. `multiconv` lets neighbouring patches speak to each other through convolutions of
three sizes (CricaVPR's idea); batch normalisation is replaced, because a descriptor must not depend
on its batch and small batches would spoil its statistics.

A file of adapters holds their weights alone and says in its header what they are.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import relu
from transformers import Dinov2Model, PreTrainedModel

from vprcap.errors import InvalidError, MissingError
from vprcap.files import replacing

KINDS = ("bottleneck", "multiconv")
RATIO = 0.5
"""Width inside an adapter over the width of a token."""
SCALE = 0.2
"""The `s` above."""
_MARK = ".adapter."


@dataclass(frozen=True)
class AdapterConfig:
    """What stands in the blocks of an encoder.

    Raises:
        InvalidError: no adapter is of that kind, or fewer than one block is named.
    """

    kind: str
    """``bottleneck`` or ``multiconv``."""
    norm: bool = False
    """Group normalisation inside the adapters."""
    blocks: int | None = None
    """How many blocks, counted from the output, have one; None: all."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidError(f"no adapter {self.kind!r}; there are: {', '.join(KINDS)}")
        if self.blocks is not None and self.blocks < 1:
            raise InvalidError(f"{self.blocks} blocks with adapters; the least is 1")


class BottleneckAdapter(nn.Module):
    """Down, ReLU, up, token by token."""

    def __init__(self, dim: int, norm: bool) -> None:
        super().__init__()
        inner = round(RATIO * dim)
        self.down = nn.Linear(dim, inner)
        self.norm = _group_norm(inner) if norm else nn.Identity()
        self.up = _zero(nn.Linear(inner, dim))

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Give what is added to the tokens; a token's share depends on that token alone."""
        inner = self.norm(self.down(tokens).flatten(0, 1)).unflatten(0, tokens.shape[:2])
        added: Tensor = SCALE * self.up(relu(inner))
        return added


class MultiConvAdapter(nn.Module):
    """Down, ReLU, convolutions of three sizes over the patch grid beside a skip, up.

    The class token, which stands nowhere in the grid, bypasses the convolutions.
    """

    def __init__(self, dim: int, grid: tuple[int, int], norm: bool) -> None:
        super().__init__()
        inner = round(RATIO * dim)
        if inner % 4:
            raise InvalidError(f"multiconv needs tokens of a multiple of 8 numbers, not of {dim}")
        narrow, quarter = max(1, inner // 16), inner // 4
        self.grid = grid
        self.down = nn.Linear(dim, inner)
        self.paths = nn.ModuleList(
            [
                _conv(inner, inner // 2, 1, norm),
                nn.Sequential(_conv(inner, narrow, 1, norm), _conv(narrow, quarter, 3, norm)),
                nn.Sequential(_conv(inner, narrow, 1, norm), _conv(narrow, quarter, 5, norm)),
            ]
        )
        self.up = _zero(nn.Linear(inner, dim))

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Give what is added to the tokens: class token first, then patches row by row."""
        inner = relu(self.down(tokens))
        picture = inner[:, 1:].transpose(1, 2).unflatten(2, self.grid)  # (batch, inner, rows, cols)
        seen = torch.cat([path(picture) for path in self.paths], dim=1)
        patches = inner[:, 1:] + seen.flatten(2).transpose(1, 2)
        added: Tensor = SCALE * self.up(torch.cat([inner[:, :1], patches], dim=1))
        return added


class ParallelMlp(nn.Module):
    """A block's MLP with its layer scale, and an adapter beside it that is not scaled."""

    def __init__(self, mlp: nn.Module, layer_scale: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.mlp, self.layer_scale, self.adapter = mlp, layer_scale, adapter

    def forward(self, tokens: Tensor) -> Tensor:
        """Give what the block adds to its tokens, from its normalised tokens."""
        added: Tensor = self.layer_scale(self.mlp(tokens)) + self.adapter(tokens)
        return added


class ParallelOutput(nn.Module):
    """The end of a BERT block, `LN(dense(h) + x)`, with an adapter of x in the sum."""

    def __init__(self, output: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.output, self.adapter = output, adapter

    def forward(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Give the block's tokens from what its MLP holds and what went into it."""
        tokens_out: Tensor = self.output(hidden, tokens + self.adapter(tokens))
        return tokens_out


def adapt_dinov2(model: Dinov2Model, config: AdapterConfig, grid: tuple[int, int]) -> None:
    """Put fresh adapters into the last blocks of a DINOv2.

    Args:
        model: changed in place.
        config: which adapters.
        grid: rows and columns of patches in the images that it will see.
    """
    dim = model.config.hidden_size
    for block in _last(model.encoder.layer, config.blocks):
        adapter = (
            MultiConvAdapter(dim, grid, config.norm)
            if config.kind == "multiconv"
            else BottleneckAdapter(dim, config.norm)
        )
        block.mlp = ParallelMlp(block.mlp, block.layer_scale2, adapter.to(model.device))
        block.layer_scale2 = nn.Identity()  # its place is inside now, where the adapter escapes it


def adapt_bert(model: PreTrainedModel, config: AdapterConfig) -> None:
    """Put fresh bottleneck adapters into the last blocks of a BERT."""
    encoder: Any = model.encoder
    for block in _last(encoder.layer, config.blocks):
        adapter = BottleneckAdapter(model.config.hidden_size, config.norm)
        block.output = ParallelOutput(block.output, adapter.to(model.device))


def adapter_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Give the parameters of a model's adapters, by name."""
    return {name: each for name, each in model.named_parameters() if _MARK in name}


def save_adapters(model: nn.Module, config: AdapterConfig, path: Path) -> None:
    """Write the adapters of a model, whole or not at all."""
    weights = {name: each.detach().cpu() for name, each in adapter_weights(model).items()}
    with replacing(path) as temporary:
        save_file(weights, temporary, {"vprcap.adapters": json.dumps(asdict(config))})


def read_adapter_config(path: Path) -> AdapterConfig:
    """Read from the header of a file which adapters it holds."""
    config, _ = _read(path)
    return config


def load_adapters(model: nn.Module, path: Path) -> None:
    """Read weights into the adapters of a model.

    Raises:
        InvalidError: the file is damaged, or its adapters are of another encoder.
    """
    _, stored = _read(path)
    wanted = adapter_weights(model)
    if strange := sorted(stored.keys() ^ wanted.keys()):
        raise InvalidError(
            f"{path} holds adapters of another encoder or layer ({strange[0]}); "
            "use the encoder that they were trained in"
        )
    for name, weight in wanted.items():
        if weight.shape != stored[name].shape:
            raise InvalidError(
                f"{path} holds adapters of another encoder: {name} is "
                f"{tuple(stored[name].shape)} there and {tuple(weight.shape)} here; "
                "use the encoder that they were trained in"
            )
        weight.data.copy_(stored[name])


def _read(path: Path) -> tuple[AdapterConfig, dict[str, Tensor]]:
    if not path.is_file():
        raise MissingError(f"no adapters at {path}; restore them or train again")
    try:
        with safe_open(path, "pt") as stream:
            config = AdapterConfig(**json.loads((stream.metadata() or {})["vprcap.adapters"]))
            return config, {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise InvalidError(f"{path} holds no adapters ({problem!r}); train again") from None


def _last(blocks: Any, count: int | None) -> Sequence[Any]:
    if count is not None and count > len(blocks):
        raise InvalidError(f"{count} blocks with adapters, but the encoder has {len(blocks)}")
    return list(blocks)[-count:] if count else list(blocks)


def _conv(channels: int, out: int, size: int, norm: bool) -> nn.Sequential:
    layers: Iterable[nn.Module] = (
        nn.Conv2d(channels, out, size, padding="same"),
        *([_group_norm(out)] if norm else []),
        nn.ReLU(),
    )
    return nn.Sequential(*layers)


def _group_norm(channels: int) -> nn.GroupNorm:
    """Normalise in groups; a group of very few numbers would have nothing left to say."""
    return nn.GroupNorm(math.gcd(8, channels // 8) if channels % 8 == 0 else 1, channels)


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
