"""The attention cache of a running batch: each row at its own length, in memory that stays.

`DynamicCache` copies all keys and values at every token and knows one length for all rows. Here a
row's place is given once, for prompt and caption, and tokens are written where its row ends. What
was guessed wrong lies behind that end: no token looks there, and the next ones are written over it.
Live rows always come first, so that a half-empty batch costs half: the last row moves into a gap.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from transformers.cache_utils import Cache

from vprcap.captioners.ahead import Entries

Kept = Float[torch.Tensor, "rows heads reach size"]
Positions = Int64[torch.Tensor, "rows next"]
"""Of the next tokens of each row."""
Mask = Bool[torch.Tensor, "rows 1 next reach"]
"""What the next tokens of each row may look at: its own row so far, up to themselves."""


class SlotCache(Cache):
    """Keys and values of rows that come and go."""

    def __init__(self, num_slots: int, most_written: int, device: torch.device | str) -> None:
        """Prepare a cache; memory is taken when the first rows enter.

        Args:
            num_slots: rows at most.
            most_written: tokens behind the prompt of a row at most.
            device: where the model is.
        """
        super().__init__(layers=[])
        self._num_slots, self._most_written, self._device = num_slots, most_written, device
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._slots = torch.arange(num_slots, device=device)
        self._lengths: list[int] = []

    def enter(self, entries: Sequence[tuple[Entries, Entries]]) -> None:
        """Give new rows their places, with the keys and values of their prompts in each layer."""
        first, num_rows, length = len(self._lengths), len(entries[0][0]), entries[0][0].shape[2]
        if not self._kept:
            self._kept = [(self._room(keys), self._room(values)) for keys, values in entries]
        for kept, new in zip(self._kept, entries, strict=True):
            for room, entry in zip(kept, new, strict=True):
                room[first : first + num_rows, :, :length] = entry
        self._lengths += [length] * num_rows

    def go_on(self, num_tokens: int) -> None:
        """Take the next tokens to be so many of each row: set `positions`, `mask` and the reach."""
        ends = torch.tensor(self._lengths, device=self._device)
        reach = max(self._lengths) + num_tokens
        places = torch.arange(reach, device=self._device)
        self.positions: Positions = ends[:, None] + places[:num_tokens]
        self.mask: Mask = (places <= self.positions[:, :, None])[:, None]
        self._reach = reach

    def keep(self, num_tokens: Sequence[int]) -> None:
        """Keep so many of the tokens that were just written of each row; forget the rest."""
        self._lengths = [sum(each) for each in zip(self._lengths, num_tokens, strict=True)]

    def leave(self, row: int) -> None:
        """Give up a row; the last one takes its place."""
        last = len(self._lengths) - 1
        if row != last:
            length = self._lengths[row] = self._lengths[last]
            for tensors in self._kept:
                for kept in tensors:
                    kept[row, :, :length] = kept[last, :, :length]
        del self._lengths[last]

    def update(
        self, key_states: Entries, value_states: Entries, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Kept, Kept]:
        """Keep the keys and values of one layer and return those to look at."""
        keys, values = self._kept[layer_idx]
        num_rows = len(self._lengths)
        slots = self._slots[:num_rows, None]
        keys[slots, :, self.positions] = key_states.transpose(1, 2)
        values[slots, :, self.positions] = value_states.transpose(1, 2)
        return keys[:num_rows, :, : self._reach], values[:num_rows, :, : self._reach]

    def _room(self, like: torch.Tensor) -> torch.Tensor:
        _, heads, length, size = like.shape
        return like.new_zeros((self._num_slots, heads, length + self._most_written, size))

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: each row has its own length, in `positions` and `mask`."""
        return 0
