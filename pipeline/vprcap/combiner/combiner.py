"""The combiner: tokens of an image, of its caption, or of both, to one descriptor.

    image tokens ----+------------> CA-MMF ---> word pooling ---> compress ---+
                     v              |    ^                                    +---> L2
    text tokens ---> AT-REC ---> belief  +--- mean by belief ---> compress ---+

Our reconstruction of LVL3M-VPR (arXiv 2407.06730; see the package's docstring). What decides how
it behaves:

* Compression of the two streams side by side is written as a sum of two layers. The weight of the
  text's starts at zero: before training every descriptor is that of the image alone.
* One token, NO_TEXT, stands before the caption's tokens and takes the share of belief that AT-REC
  denies them. No caption and a caption that is not believed are one and the same state.
* Without an image there is nothing to judge a caption by, so it is believed.
* Nothing is shared between the images of a batch, and padding has no belief.
"""

from dataclasses import asdict
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import normalize

from vprcap.combiner.config import CombinerConfig, read_config
from vprcap.combiner.fusion import build_fusion
from vprcap.combiner.pooling import build_pooling
from vprcap.combiner.recalibration import Agreement, build_gate
from vprcap.errors import InvalidError, MissingError
from vprcap.files import replacing, write_json


class FeatureCombiner(nn.Module):
    """Image and text tokens to an L2-normalised descriptor."""

    token_mean: Tensor
    token_scale: Tensor

    def __init__(self, config: CombinerConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("token_mean", torch.zeros(config.image_dim))
        self.register_buffer("token_scale", torch.ones(config.image_dim))
        self.no_text = nn.Parameter(torch.zeros(config.text_dim))
        self.recalibrate = build_gate(config)
        self.fuse = build_fusion(config)
        self.pool = build_pooling(config)
        self.compress_image = nn.Linear(self.pool.out_dim, config.descriptor_dim)
        self.compress_text = nn.Linear(config.text_dim, config.descriptor_dim)
        self.text_scale = nn.Parameter(torch.tensor(0.0))

    def forward(
        self,
        image_tokens: Float[Tensor, "batch tokens image_dim"] | None,
        text_tokens: Float[Tensor, "batch length text_dim"] | None = None,
        text_mask: Bool[Tensor, "batch length"] | None = None,
    ) -> tuple[Float[Tensor, "batch descriptor_dim"], Float[Tensor, "batch length"]]:
        """Describe a batch of images, of captions, or of images with their captions.

        Args:
            image_tokens: class token, then patches; None to describe captions alone.
            text_tokens: word pieces; None to describe images alone.
            text_mask: true where a word piece is; an all-false row has no caption.

        Returns:
            Descriptors of unit length, and the gate of each text token in 0..1 (0 for padding).

        Raises:
            InvalidError: neither image nor text is given, or tokens are of another length.
        """
        text, mask = self._checked(image_tokens, text_tokens, text_mask)
        if image_tokens is None:
            gate = mask.to(text)
            _, pooled = self._exchange(None, text, gate, mask)
            return normalize(self.compress_text(pooled).float(), dim=-1), gate
        image = self.standardised(image_tokens)
        # The gate judges by the summary and must not bend it to its own ends.
        summary = self._compress(image).detach()
        gate = self.recalibrate(text, mask, image, summary)
        fused, pooled = self._exchange(image, text, gate, mask)
        descriptor = self._compress(fused) + self.text_scale * self.compress_text(pooled)
        return normalize(descriptor.float(), dim=-1), gate

    def standardised(self, tokens: Float[Tensor, "*_ image_dim"]) -> Float[Tensor, "*_ image_dim"]:
        """Give image tokens of mean 0 and spread 1 in every number, over the training images."""
        return (tokens - self.token_mean) / self.token_scale

    def fitted_modules(self) -> tuple[nn.Module, ...]:
        """Give the parts that `initialise` fits; training should move them gently."""
        found = [each for each in self.recalibrate.modules() if isinstance(each, Agreement)]
        spaces = [linear for each in found for linear in (each.image, each.text)]
        return self.pool, self.compress_image, self.compress_text, *spaces

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json``; the latter last, so whole or absent."""
        with replacing(folder / "model.safetensors") as temporary:
            save_file(self.state_dict(), temporary)
        write_json(folder / "config.json", asdict(self.config))

    @classmethod
    def load(cls, folder: Path) -> "FeatureCombiner":
        """Read a combiner, ready for use on the CPU.

        Raises:
            MissingError: a file is absent.
            InvalidError: a file is damaged, or the two do not belong together.
        """
        config = read_config(folder / "config.json")
        weights = _read_weights(folder / "model.safetensors")
        combiner = cls(config)
        try:
            combiner.load_state_dict(weights)
        except RuntimeError as problem:
            raise InvalidError(
                f"{folder}: config.json and model.safetensors do not belong together "
                f"({_first_mismatch(problem)}); train again or restore both"
            ) from problem
        return combiner.eval()

    def _checked(
        self, image_tokens: Tensor | None, text_tokens: Tensor | None, text_mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Give text tokens and mask, of no tokens where no text is given; refuse other lengths."""
        if image_tokens is not None and image_tokens.shape[2] != self.config.image_dim:
            raise InvalidError(_other_dim("image", image_tokens.shape[2], self.config.image_dim))
        if (text_tokens is None) != (text_mask is None):
            raise InvalidError("text tokens and their mask belong together; give both or neither")
        if text_tokens is not None and text_mask is not None:
            if text_tokens.shape[2] != self.config.text_dim:
                raise InvalidError(_other_dim("text", text_tokens.shape[2], self.config.text_dim))
            return text_tokens, text_mask
        if image_tokens is None:
            raise InvalidError("neither image tokens nor text tokens with a mask were given")
        no_tokens = image_tokens.new_zeros(len(image_tokens), 0, self.config.text_dim)
        return no_tokens, no_tokens[..., 0].bool()

    def _exchange(
        self,
        image: Float[Tensor, "batch tokens image_dim"] | None,
        text: Float[Tensor, "batch length text_dim"],
        gate: Float[Tensor, "batch length"],
        mask: Bool[Tensor, "batch length"],
    ) -> tuple[Float[Tensor, "batch tokens image_dim"], Float[Tensor, "batch text_dim"]]:
        """Let the streams exchange messages; give the image tokens and the mean of the text.

        NO_TEXT stands first and gets the share of belief that the caption's tokens are denied.
        Without an image its stream has no tokens.
        """
        share = gate / mask.sum(dim=1, keepdim=True).clamp(min=1)
        belief = torch.cat([1 - share.sum(dim=1, keepdim=True), share], dim=1)
        text = torch.cat([self.no_text.to(text).expand(len(text), 1, -1), text], dim=1)
        if image is None:
            image = text.new_zeros(len(text), 0, self.config.image_dim)
        for layer in self.fuse:
            image, text = layer(image, text, belief)
        return image, (belief[:, None] @ text).squeeze(1)

    def _compress(
        self, image: Float[Tensor, "batch tokens image_dim"]
    ) -> Float[Tensor, "batch descriptor_dim"]:
        return normalize(self.compress_image(self.pool(image)), dim=-1)


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise MissingError(f"no file {path}; train a combiner first") from None
    except SafetensorError as problem:
        raise InvalidError(f"{path} is damaged ({problem}); train again or restore it") from None


def _first_mismatch(problem: RuntimeError) -> str:
    """Of torch's many lines about a state dict the second names the first mismatch."""
    lines = [line.strip() for line in str(problem).splitlines()]
    return lines[1] if len(lines) > 1 else lines[0]


def _other_dim(modality: str, given: int, expected: int) -> str:
    return (
        f"{modality} tokens have {given} numbers, but this combiner was made for {expected}; "
        f"use the {modality} encoder that it was trained with"
    )
