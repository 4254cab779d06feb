"""The state of an unfinished training: one file, whole or absent.

Tensors (weights, the best so far, the optimiser's moments) and, in the file's header, everything
else as JSON: how far it is, what it measured, rates. There is no pickle, and as it is one file no
part of it can be older than another. Randomness needs no saving: each batch's follows from its
number.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from vprcap.errors import InvalidError, StaleArtefactError
from vprcap.files import replacing

_KEY = "vprcap.training"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and what is said in JSON."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Give the tensors whose names begin with a prefix and a slash, without it."""
        start = f"{prefix}/"
        found = {name: each for name, each in self.tensors.items() if name.startswith(start)}
        return {name.removeprefix(start): each for name, each in found.items()}


def write_checkpoint(path: Path, parts: Mapping[str, Mapping[str, Tensor]], state: Any) -> None:
    """Write the state of a training.

    Args:
        path: the file.
        parts: tensors by part and name.
        state: anything that JSON can say.
    """
    tensors = {
        f"{part}/{name}": tensor.detach().cpu().contiguous()
        for part, named in parts.items()
        for name, tensor in named.items()
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, {_KEY: json.dumps(state)})


def read_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """Read the state of a training; None where there is none.

    Raises:
        StaleArtefactError: it is of another configuration than `identity`.
        InvalidError: it is damaged.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as stream:
            state = json.loads((stream.metadata() or {})[_KEY])
            stored = state["identity"]
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise InvalidError(
            f"{path} is no checkpoint ({problem!r}); remove {path.parent} to train from the start"
        ) from None
    refuse_other(path.parent, stored, identity)
    return Checkpoint(tensors, state)


def refuse_other(folder: Path, stored: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Refuse to go on with, or to overwrite, a training of another configuration."""
    found, wanted = _flat(stored), _flat(json.loads(json.dumps(identity)))
    differing = sorted(
        key for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)
    )
    if differing:
        key = differing[0]
        raise StaleArtefactError(
            f"{folder} holds a training of another configuration ({key} is {found.get(key)} there, "
            f"{wanted.get(key)} here); choose another --output, or remove that folder"
        )


def optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Take an optimiser's moments apart into named tensors and groups that JSON can say."""
    stored = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": tensor
        for index, moments in stored["state"].items()
        for name, tensor in moments.items()
    }
    return tensors, stored["param_groups"]


def restore_optimizer(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Put together again what `optimizer_state` took apart."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, each in value.items():
        flat |= _flat(each, f"{prefix}.{key}" if prefix else key)
    return flat
