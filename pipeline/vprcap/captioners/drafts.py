"""Words that are likely to come next, guessed from captions written before.

Captions of one set share their phrases: after "the image shows a" mostly comes what came there the
last time. A guess costs nothing, and the model checks several in one step: see
`vprcap.captioners.running`. A wrong guess changes no text in float32; it only wins nothing.
"""

from collections.abc import Sequence

_CONTEXT = 3
"""Tokens that foretell the next one."""
_START = (-1,) * _CONTEXT
"""Before the first token."""
_MOST_KNOWN = 100_000
"""Contexts of one generation; two are kept, so some 40 MB at most."""


class Drafts:
    """What followed the same few tokens the last time; forgets what has not come up for long."""

    def __init__(self) -> None:
        self._young: dict[tuple[int, ...], int] = {}
        self._old: dict[tuple[int, ...], int] = {}

    def learn(self, tokens: Sequence[int]) -> None:
        """Note which token followed which in a finished caption."""
        before = _START
        for token in tokens:
            self._young[before] = token
            before = (*before[1:], token)
        if len(self._young) > _MOST_KNOWN:
            self._young, self._old = {}, self._young

    def after(self, tokens: Sequence[int], most: int) -> list[int]:
        """Guess what follows; fewer than `most` tokens where nothing like it was ever seen."""
        guesses: list[int] = []
        before = (*_START, *tokens[-_CONTEXT:])[-_CONTEXT:]
        while len(guesses) < most:
            token = self._young.get(before, self._old.get(before))
            if token is None:
                break
            guesses.append(token)
            before = (*before[1:], token)
        return guesses
