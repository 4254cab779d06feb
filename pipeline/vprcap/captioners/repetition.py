"""A caption that goes round in circles is ended in the circle, not at the token limit.

Greedy decoding that has said one phrase four times says it for ever: what follows costs time and
tells nothing. The rule looks at tokens alone, so a caption ends at the same token whatever else is
in its batch and whichever loop writes it.
"""

from collections.abc import Sequence

LONGEST_PHRASE = 16
"""Tokens; a list of windows has shorter ones."""
TIMES = 4
FEWEST_TOKENS = 24
"""A sign may say "NO NO NO NO"; nobody writes a caption of this."""
RULE = f"{LONGEST_PHRASE} tokens, {TIMES} times, {FEWEST_TOKENS} at least"
"""Part of what changes a text: see `vprcap.caption_sets.caption_set.CaptionConfig`."""
VLLM_RULE = {
    "min_pattern_size": FEWEST_TOKENS // TIMES,  # shorter phrases are within: twice 3 is 6
    "max_pattern_size": LONGEST_PHRASE,
    "min_count": TIMES,
}
"""The nearest that vLLM's own detection can be told; it ends phrases of 4 and 5 tokens later."""
LONGEST_CIRCLE = max(LONGEST_PHRASE * TIMES, FEWEST_TOKENS)
"""No more of a caption's end is ever looked at."""


def is_looping(tokens: Sequence[int]) -> bool:
    """Say whether a caption ends with one phrase again and again.

    Args:
        tokens: the caption so far, or its last `LONGEST_CIRCLE` tokens.
    """
    end = len(tokens)
    for phrase in range(1, min(LONGEST_PHRASE, end - 1) + 1):
        if tokens[-1] != tokens[-1 - phrase]:
            continue
        start = end - max(phrase * TIMES, FEWEST_TOKENS)
        if start >= 0 and tokens[start : end - phrase] == tokens[start + phrase : end]:
            return True
    return False


def loops_after(tokens: Sequence[int]) -> int | None:
    """Return after how many tokens a caption was first going in circles; None: never."""
    for length in range(FEWEST_TOKENS, len(tokens) + 1):
        if is_looping(tokens[max(0, length - LONGEST_CIRCLE) : length]):
            return length
    return None
