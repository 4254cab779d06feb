"""BERT and its relatives as a frozen text encoder (all-MiniLM-L6-v2 by default).

The last hidden states are kept token by token: which words of a caption deserve belief is
decided later, by the combiner, with the image in view.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

from vprcap.encoders.adapters import AdapterConfig, adapt_bert, load_adapters, read_adapter_config
from vprcap.encoders.hub import load_model, load_tokenizer
from vprcap.errors import InvalidError
from vprcap.files import sha256_of
from vprcap.words import NO_WORD, Words

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
        adapters: Path | None = None,
    ) -> None:
        self.name = name
        self.dim: int = model.config.hidden_size
        self.max_length = MAX_LENGTH
        self.provenance = f"{name} {MAX_LENGTH} {revision}"
        self.model = model.requires_grad_(False).eval().to(device)
        self._tokenizer = tokenizer
        if adapters is not None:
            self.adapt(read_adapter_config(adapters))
            load_adapters(self.model, adapters)
            self.model.requires_grad_(False)
            self.provenance += f" adapters {sha256_of(adapters)[:16]}"

    def adapt(self, config: AdapterConfig) -> None:
        """Put fresh adapters, which may be trained, into the blocks; tokens stay what they are."""
        adapt_bert(self.model, config)

    def words(self, captions: Sequence[str | None]) -> list[Words]:
        """Say for each caption which words it has and which token is a piece of which."""
        if not self._tokenizer.is_fast:
            raise InvalidError(
                f"the tokenizer of {self.name} cannot say which word a piece is of; choose a text "
                "encoder with a fast tokenizer"
            )
        written = [(caption or "").strip() for caption in captions]
        batch = self._tokenizer(written, truncation=True, max_length=MAX_LENGTH)
        return [_words(caption, batch, row) for row, caption in enumerate(written)]

    def encode(
        self, captions: Sequence[str | None]
    ) -> tuple[Float[np.ndarray, "batch length dim"], Bool[np.ndarray, "batch length"]]:
        """Encode captions, padded to the longest; a missing or blank one has an all-false mask."""
        with torch.inference_mode():
            tokens, mask = self.tokens(captions)
        return tokens.float().cpu().numpy(), mask.cpu().numpy()

    def tokens(
        self, captions: Sequence[str | None]
    ) -> tuple[Float[Tensor, "batch length dim"], Bool[Tensor, "batch length"]]:
        """Encode captions as `encode` does; gradients reach the adapters."""
        written = [(caption or "").strip() for caption in captions]
        batch = self._tokenizer(
            written, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        ).to(self.model.device)
        tokens = self.model(**batch).last_hidden_state
        # The tokenizer writes [CLS] and [SEP] even for "", which would pass for a caption.
        there = torch.tensor([caption != "" for caption in written], device=tokens.device)
        mask = batch["attention_mask"].bool() & there[:, None]
        return tokens * mask[..., None], mask


def _words(caption: str, batch: BatchEncoding, row: int) -> Words:
    if not caption:
        return Words(None, [], [])
    owners = [NO_WORD if word is None else word for word in batch.word_ids(row)]
    spans = [batch.word_to_chars(row, word) for word in range(max(owners) + 1)]
    return Words(caption, [caption[span.start : span.end] for span in spans], owners)


def load_bert(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Load a text model, its tokenizer and its revision from the hub or a directory."""
    model, revision = load_model(name, packaged="packaged:minilm-l6")
    return model, load_tokenizer(name, packaged="packaged:minilm-l6"), revision
