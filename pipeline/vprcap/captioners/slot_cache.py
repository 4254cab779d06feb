"""The attention cache of a running batch: each row at its own length, in memory that stays.

`DynamicCache` copies all keys and values at every token and knows one length for all rows. Here a
row's place is given once, for prompt and caption, and a token is written where its row ends. Live
rows always come first, so that a half-empty batch costs half: the last row moves into a gap.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from transformers.cache_utils import Cache

Entries = Float[torch.Tensor, "rows heads length size"]
Kept = Float[torch.Tensor, "rows heads reach size"]


class SlotCache(Cache):
    """Keys and values of rows that come and go."""

    def __init__(self, num_slots: int, longest: int, device: torch.device | str) -> None:
        """Prepare a cache; memory is taken when the first rows enter.

        Args:
            num_slots: rows at most.
            longest: tokens of a row at most.
            device: where the model is.
        """
        super().__init__(layers=[])
        self._num_slots, self._longest = num_slots, longest
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._slots = torch.arange(num_slots, device=device)
        self._places = torch.arange(longest, device=device)
        self._ends = torch.zeros(num_slots, dtype=torch.int64, device=device)
        self._lengths: list[int] = []
        self._num_entering = 0

    def enter(self, num_rows: int) -> None:
        """Take the next tokens to be those of new rows, from their first one on."""
        self._num_entering = num_rows

    def settle(self, num_tokens: int) -> None:
        """Count the tokens that were just written: of the new rows, or one in each row."""
        if self._num_entering:
            first = len(self._lengths)
            self._lengths += [num_tokens] * self._num_entering
            self._ends[first : len(self._lengths)] = num_tokens
            self._num_entering = 0
        else:
            self._lengths = [length + num_tokens for length in self._lengths]
            self._ends += num_tokens

    def leave(self, row: int) -> None:
        """Give up a row; the last one takes its place."""
        last = len(self._lengths) - 1
        if row != last:
            length = self._lengths[last]
            for tensors in self._kept:
                for kept in tensors:
                    kept[row, :, :length] = kept[last, :, :length]
            self._ends[row], self._lengths[row] = length, length
        del self._lengths[last]

    @property
    def positions(self) -> Int64[torch.Tensor, "rows 1"]:
        """Position of the next token of each row."""
        return self._ends[: len(self._lengths), None]

    @property
    def mask(self) -> Bool[torch.Tensor, "rows 1 1 length"]:
        """What the next token of each row may look at: its own row so far, and itself."""
        return (self._places[: self._reach] <= self.positions)[:, None, None]

    @property
    def _reach(self) -> int:
        return max(self._lengths) + 1

    def update(
        self, key_states: Entries, value_states: Entries, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Kept, Kept]:
        """Keep the keys and values of one layer and return those to look at."""
        if layer_idx == len(self._kept):
            self._kept.append((self._room(key_states), self._room(value_states)))
        keys, values = self._kept[layer_idx]
        first, length = len(self._lengths), key_states.shape[2]
        if self._num_entering:
            keys[first : first + self._num_entering, :, :length] = key_states
            values[first : first + self._num_entering, :, :length] = value_states
            return key_states, value_states
        ends = self._ends[:first]
        keys[self._slots[:first], :, ends] = key_states[:, :, 0]
        values[self._slots[:first], :, ends] = value_states[:, :, 0]
        return keys[:first, :, : self._reach], values[:first, :, : self._reach]

    def _room(self, like: torch.Tensor) -> torch.Tensor:
        _, heads, _, size = like.shape
        return like.new_zeros((self._num_slots, heads, self._longest, size))

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: only new rows ask, and nothing lies before them."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Return 0, for the same reason."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return what the causal mask of new rows spans."""
        return query_length, 0
