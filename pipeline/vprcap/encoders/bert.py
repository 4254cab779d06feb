"""BERT and its relatives as a frozen text encoder (all-MiniLM-L6-v2 by default).

The last hidden states are kept token by token: which words of a caption deserve belief is
decided later, by the combiner, with the image in view.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from vprcap.encoders.hub import load_model, load_tokenizer

MAX_LENGTH = 128
"""Longest caption in word pieces; the prompt asks for 60 words, which are about 90."""


class BertEncoder:
    """Last hidden states of a frozen BERT-like model."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str,
        revision: str,
        device: str = "cpu",
    ) -> None:
        self.name = name
        self.dim: int = model.config.hidden_size
        self.max_length = MAX_LENGTH
        self.provenance = f"{name} {MAX_LENGTH} {revision}"
        self._model = model.requires_grad_(False).to(device)  # type: ignore[arg-type]
        self._tokenizer = tokenizer
        self._device = device

    def encode(
        self, captions: Sequence[str | None]
    ) -> tuple[Float[np.ndarray, "batch length dim"], Bool[np.ndarray, "batch length"]]:
        """Encode captions, padded to the longest; a missing or blank one has an all-false mask."""
        written = [(caption or "").strip() for caption in captions]
        batch = self._tokenizer(
            written, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            tokens = self._model(**batch).last_hidden_state
        mask = batch["attention_mask"].cpu().numpy().astype(bool)
        # The tokenizer writes [CLS] and [SEP] even for "", which would pass for a caption.
        mask &= np.array([caption != "" for caption in written])[:, None]
        return tokens.float().cpu().numpy() * mask[..., None], mask


def load_bert(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Load a text model, its tokenizer and its revision from the hub or a directory."""
    model, revision = load_model(name, packaged="packaged:minilm-l6")
    return model, load_tokenizer(name, packaged="packaged:minilm-l6"), revision
