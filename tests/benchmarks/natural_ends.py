"""Ends the captions of a random model as unevenly as those of a trained one.

Random weights never write the end token, and captions that are all cut at one length are the best
case of static batches. Published lengths: of 1,001 captions by LLaVA-NeXT-7B with a limit of 256
tokens 11 % are cut and the mean is 196, which is a normal distribution with a spread of 0.23 of its
mean. Here the mean is 80 tokens (the prompt asks for at most 60 words) and the spread 20.

Whether a caption ends at a token depends on that token and its position, by a hash: never on the
batch, nor on the last bits of a float. The rule sits inside the model, so that every way of
calling it sees the same captions.
"""

import math
import threading
from typing import Any

import torch

MEAN, SPREAD = 80, 20
_LONGEST = 4096


def give_natural_ends(model: Any, num_prompt: int, end_id: int) -> None:
    """Let the model write `end_id` where the rule says so."""
    hazards = torch.tensor([hazard(token) for token in range(_LONGEST)], dtype=torch.float64)
    hazards = hazards.to(model.device)
    seen = threading.local()  # rows are prefilled in a thread of their own

    def note(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        length = kwargs["inputs_embeds"].shape[1]
        from_the_first = torch.arange(length, device=model.device)[None]
        given = kwargs["position_ids"]
        seen.positions = from_the_first if given is None else given

    def end(_: Any, __: Any, logits: torch.Tensor) -> None:
        written = seen.positions[:, -logits.shape[1] :] + 1 - num_prompt
        written = written.expand(logits.shape[:2])
        ends = uniform(logits.argmax(2), written) < hazards[written]
        logits[:, :, end_id] += ends * 1e4  # most tokens add nothing

    model.model.language_model.register_forward_pre_hook(note, with_kwargs=True)
    model.lm_head.register_forward_hook(end)


def hazard(written: int) -> float:
    """Probability that a caption of so many tokens ends with the next one."""
    left, right = ((written + edge - MEAN) / (SPREAD * math.sqrt(2)) for edge in (0, 1))
    survivors = math.erfc(left)
    return 1.0 if survivors < 1e-12 else 1 - math.erfc(right) / survivors


def uniform(tokens: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
    """Hash token and position to a number from 0 to 1."""
    mixed = (tokens * 2654435761 + written * 40503) & 0xFFFFFFFF
    for _ in range(2):
        mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return (mixed ^ (mixed >> 16)).double() / 2**32
