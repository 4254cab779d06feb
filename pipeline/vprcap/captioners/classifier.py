"""An image classifier: resolved and identified by name, its weights loaded when there is work.

Any ``AutoModelForImageClassification`` on the hub or in a directory will do (safetensors only, no
code of its own), and so will ``packaged:efficientnet-lite0``. What has no names for its classes is
refused: a caption of LABEL_7 says nothing.
"""

import re
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
)

from vprcap.captioners.source import (
    directory_hash,
    hub_revision,
    is_path,
    local_folder,
    mean_colour,
    processor_identity,
    refuse_gaps,
    shown_name,
)
from vprcap.errors import DependencyError, InvalidError, MissingError, first_line
from vprcap.quiet import quiet_libraries

_PACKAGED = "packaged:efficientnet-lite0"
_GENERIC = re.compile(r"[\s,_]*(LABEL_)?\d*[\s,_]*")


@runtime_checkable
class Classifier(Protocol):
    """Pixels to one score a class."""

    name: str
    revision: str
    """Commit of a hub model; hash of the files of a local one. Covers the labels."""
    labels: list[str]
    """Names of the classes in the order of the scores, as the model spells them."""
    side: int
    """Pixels of the square that it sees."""
    fill: tuple[int, int, int]
    """Colour that is zero to the network."""
    processor: dict[str, Any]
    """What of the pixels' scaling changes the scores."""

    def load(self, device: str) -> None:
        """Load the weights."""
        ...

    def logits(
        self, pixels: Sequence[UInt8[np.ndarray, "side side 3"]]
    ) -> Float[torch.Tensor, "batch labels"]:
        """Score the classes of framed images; the result lies on the CPU in float32."""
        ...


def open_classifier(model: str) -> Classifier:
    """Resolve a name; no weights are loaded.

    Args:
        model: hub name, directory or ``packaged:efficientnet-lite0``.

    Raises:
        MissingError: no such directory or packaged model.
        DependencyError: the extra is not installed, or the hub cannot be reached.
        InvalidError: it is no classifier, has no safetensors, or its classes have no names.
    """
    if model == _PACKAGED:
        from vprcap.captioners.efficientnet_lite0 import EfficientNetLite0

        return EfficientNetLite0()
    if local_folder(model) is None and (model.startswith("packaged:") or is_path(model)):
        raise MissingError(f"no classifier {model}; give a hub name, a directory or {_PACKAGED}")
    return TransformersClassifier(model)


class TransformersClassifier:
    """A model of the class ``AutoModelForImageClassification`` in float32."""

    def __init__(self, model: str) -> None:
        quiet_libraries()
        folder = local_folder(model)
        self._source = model if folder is None else str(folder)
        if folder is not None and not any(folder.glob("*.safetensors")):
            raise InvalidError(f"{model} holds no .safetensors; save the model in that format")
        config, self.revision, self._image_processor = self._open(model)
        self.name = shown_name(model)
        self.labels = _labels(model, config)
        self.side = _side(model, self._image_processor)
        self.fill = mean_colour(self._image_processor)
        self.processor = processor_identity(self._image_processor)
        self._device = "cpu"
        self._model: Any = None

    def _open(self, model: str) -> tuple[Any, str, Any]:
        try:
            config = AutoConfig.from_pretrained(self._source, trust_remote_code=False)
            folder = local_folder(model)
            revision = config._commit_hash if folder is None else directory_hash(folder)
            image_processor = AutoImageProcessor.from_pretrained(
                self._source,
                trust_remote_code=False,
                backend="pil",
                revision=hub_revision(self._source, revision),
            )
        except (OSError, ValueError, KeyError, ImportError) as problem:
            raise _load_error(model, problem) from None
        if type(config) not in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
            raise InvalidError(
                f"{model} is no image classifier but a {config.model_type}; "
                f"give an AutoModelForImageClassification or {_PACKAGED}"
            )
        return config, str(revision), image_processor

    def load(self, device: str) -> None:
        """Load the weights.

        Raises:
            InvalidError: they are damaged or lack a layer, as those of a bare backbone do.
        """
        try:
            loaded: Any = AutoModelForImageClassification.from_pretrained(
                self._source,
                revision=hub_revision(self._source, self.revision),
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as problem:
            raise _load_error(self._source, problem) from None
        model, loading = loaded
        advice = "fetch it again, or give one that was trained to classify"
        refuse_gaps(self._source, loading, advice)
        self._device = device
        self._model = model.requires_grad_(False).eval().to(device)

    def logits(
        self, pixels: Sequence[UInt8[np.ndarray, "side side 3"]]
    ) -> Float[torch.Tensor, "batch labels"]:
        """Score the classes of framed images."""
        inputs = self._image_processor(
            images=[Image.fromarray(image) for image in pixels],
            do_resize=False,  # the decode workers did
            do_center_crop=False,
            return_tensors="pt",
        )
        logits: torch.Tensor = self._model(
            pixel_values=inputs["pixel_values"].to(self._device)
        ).logits
        return logits.float().cpu()


def _labels(model: str, config: Any) -> list[str]:
    labels = [str(config.id2label.get(index, "")) for index in range(config.num_labels)]
    if all(_GENERIC.fullmatch(label) for label in labels):
        raise InvalidError(
            f"{model} has no names for its classes ({labels[0]} and so on); "
            "write them into id2label of its config.json, or give another classifier"
        )
    return labels


def _side(model: str, image_processor: Any) -> int:
    """Side of the square that the processor makes in the end."""
    crops = getattr(image_processor, "do_center_crop", None)
    size = image_processor.crop_size if crops else image_processor.size
    height = size.get("height") or size.get("shortest_edge")
    if not height or height != (size.get("width") or height):
        raise InvalidError(f"{model} does not see a square of fixed size; give another classifier")
    return int(height)


def _load_error(model: str, problem: Exception) -> Exception:
    reason = first_line(problem)
    if local_folder(model) is not None:
        return InvalidError(f"{model} is no usable image classifier: {reason}")
    return DependencyError(
        f"cannot load classifier {model} ({reason}); "
        f"download it where the hub can be reached and give its directory, or take {_PACKAGED}"
    )
