"""Captions without a language model: the likeliest labels of an image classifier as a sentence.

This is the control that sentences must beat: if text helps a descriptor, part of the help may be
no more than the names of things, and names are what a small classifier gives for a thousandth of
the cost. The prompt, quantization and token limit of other captioners do not apply to it.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from vprcap.caption_sets.caption_set import CaptionConfig
from vprcap.captioners import Generated
from vprcap.captioners.classifier import open_classifier
from vprcap.captioners.in_memory import in_memory
from vprcap.errors import Interrupted
from vprcap.images import Framing

NUM_LABELS = 5
"""As many as ImageNet's top-5 measure holds to be one fair guess at a picture."""
_WORDING = 1
"""Raised when `sentence` or `phrase` change: other wording is another caption set."""
_VOWEL = re.compile(r"(?!uni|eu|one\b)[aeiou]|hour")  # as it sounds: a unicycle, an hourglass


class LabelCaptioner:
    """Names what a classifier sees; equal pixels give equal captions."""

    def __init__(self, model: str, framing: str) -> None:
        self._classifier = open_classifier(model)
        self._phrases = [phrase(label) for label in self._classifier.labels]
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.cuda.get_device_name() if self._device == "cuda" else "cpu"
        self.framing = Framing(framing, self._classifier.side, self._classifier.fill)
        self.config = CaptionConfig(
            captioner="labels",
            model=self._classifier.name,
            revision=self._classifier.revision,
            quantization="none",
            prompt_name=f"top{NUM_LABELS}",
            prompt=f"no prompt: the {NUM_LABELS} likeliest labels, wording {_WORDING}",
            max_new_tokens=0,
            framing=framing,
            processor=self._classifier.processor,
            dtype="float32",
        )

    def load(self) -> None:
        """Load the weights onto the GPU, or the CPU where there is none."""
        self._classifier.load(self._device)

    def caption(
        self,
        pixels: Sequence[UInt8[np.ndarray, "_ _ 3"]],
        should_stop: Callable[[], bool],
        seeds: Sequence[int] = (),
    ) -> list[Generated]:
        """Caption a batch; labels do not depend on it but for the last digits of near ties."""
        if should_stop():
            raise Interrupted("stopped before a batch was captioned")
        with torch.inference_mode():
            logits = in_memory(lambda: self._classifier.logits(pixels))
        if not logits.isfinite().all():
            raise ValueError("the classifier's scores are not finite")
        ranked = logits.argsort(dim=1, descending=True, stable=True).tolist()
        return [Generated(self._describe(order), "stop", 0, 0) for order in ranked]

    def _describe(self, order: Sequence[int]) -> str:
        """Name the first labels of a ranking; two classes of one name count once."""
        phrases = dict.fromkeys(self._phrases[index] for index in order)
        return sentence([each for each in phrases if each][:NUM_LABELS])


def phrase(label: str) -> str:
    """First synonym of a label in lower case, without characters that cannot be read.

    >>> phrase("Street_sign, traffic sign")
    'street sign'
    """
    first = label.replace("_", " ").partition(",")[0].lower()
    return " ".join("".join(c if c.isprintable() else " " for c in first).split())


def sentence(phrases: Sequence[str]) -> str:
    """List phrases, likeliest first: "A photograph with a street sign, an obelisk and a church."

    Every phrase gets an article, plurals too: wording is fixed, not fine. No phrases, no words.
    """
    named = [f"{'an' if _VOWEL.match(each) else 'a'} {each}" for each in phrases]
    listed = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)
    return f"A photograph with {listed}." if listed else ""
