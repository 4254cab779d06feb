"""Quality flags of a caption, from its text alone: no second pass, no model, nothing deleted.

A flag says "look here", so each is made to be right when it is set rather than to be set always.
What stands in quotation marks is not the model's own speech: a prompt that asks for the words on
signs gets "SORRY, WE ARE CLOSED" and Japanese, and neither is a fault. There is no flag for long
captions: what is too long was cut by the token limit, and says so.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from vprcap.caption_sets.transient import forbidden_kinds, transient_things, unquoted

FLAGS = (
    "empty",
    "refusal",
    "prompt_echo",
    "script",
    "repetition",
    "length",
    "too_short",
    "transient",
)
"""All flags of single captions, the worst first."""

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")
_FEWEST_WORDS = 4
_ECHOED_WORDS = 8
_OTHER_LETTERS = {"LATIN": 0.5}
"""Share of letters of another script that is too much; Latin abbreviations are at home anywhere."""
_OTHER_LETTERS_ELSE = 0.05
_DENSE_WORDS, _DENSE_SHARE = 24, 0.5
_EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"}

_REFUSAL = re.compile(
    r"\bi(?: a|['\u2019])m (?:so |very |really )?sorry\b|\bsorry, (?:but )?i\b|\bi apologi[sz]e\b"
    r"|\bmy apologies\b|\bas an? (?:ai|artificial|(?:large )?language model|assistant)\b"
    r"|\bi(?: am|['\u2019]m) (?:unable|not able|not allowed|not programmed)\b"
    r"|\bi (?:can(?:no|['\u2019]|)t|can not|could(?: not|n['\u2019]t)|do(?: not|n['\u2019]t)"
    r"|won['\u2019]t|will not)"
    r" (?:help|assist|comply|see|view|describe|identify|provide|determine|answer|access|have)\b"
    r"|\bno image (?:was|is|has been)\b"
)
_TEMPLATE = re.compile(
    r"\b(?:USER|ASSISTANT|SYSTEM):|<image>|\[/?INST\]|<\|\w+\|>|</?s>|<<SYS>>|###"
)


def find_flags(caption: str, finish_reason: str | None, prompt: str) -> dict[str, list[str]]:
    """Return the flags of a caption, the worst first, each with the places that it is set for.

    Args:
        caption: the text.
        finish_reason: ``stop``, ``length`` (cut by the token limit) or ``repetition``.
        prompt: what the model was told; what it forbids and its script are read from it.
    """
    if not any(map(str.isalnum, caption)):
        return {"empty": [caption], **({"length": [""]} if finish_reason == "length" else {})}
    words = [word.lower() for word in _WORD.findall(caption)]
    found = {
        "refusal": _REFUSAL.findall(unquoted(caption).lower()),
        "prompt_echo": _echoes(caption, words, prompt),
        "script": _other_letters(caption, prompt),
        "repetition": _repeats(words, finish_reason),
        "length": [" ".join(words[-5:])] if finish_reason == "length" else [],
        "too_short": [caption] if _is_short(caption, words) else [],
        "transient": transient_things(caption, _forbidden(prompt)),
    }
    return {flag: places for flag, places in found.items() if places}


def flags_of(caption: str | None, finish_reason: str | None, prompt: str) -> list[str]:
    """Return the flags that a row stores; none where there is no caption."""
    return [] if caption is None else list(find_flags(caption, finish_reason, prompt))


def badness(flags: list[str]) -> tuple[int, int]:
    """Rank a caption by its flags: its worst flag decides, then their number; smaller is better."""
    known = [flag for flag in flags if flag in FLAGS]
    worst = max((len(FLAGS) - FLAGS.index(flag) for flag in known), default=0)
    return worst, len(known)


_forbidden = lru_cache(maxsize=8)(forbidden_kinds)


def _is_short(caption: str, words: list[str]) -> bool:
    """Say whether a caption has too few words; scripts without spaces are not counted so."""
    return len(words) < _FEWEST_WORDS and not _scripts(caption).keys() & {"CJK"}


def _echoes(caption: str, words: list[str], prompt: str) -> list[str]:
    told = _told(prompt)
    echoed = [" ".join(run) for run in _runs(words, _echo_length(prompt)) if run in told]
    return [*echoed, *_TEMPLATE.findall(caption)]


@lru_cache(maxsize=8)
def _told(prompt: str) -> frozenset[tuple[str, ...]]:
    words = [word.lower() for word in _WORD.findall(prompt)]
    return frozenset(_runs(words, _echo_length(prompt)))


@lru_cache(maxsize=8)
def _echo_length(prompt: str) -> int:
    """How many words of a prompt, in a row, are an echo: all of a short one, but not of a word."""
    return max(_FEWEST_WORDS, min(_ECHOED_WORDS, len(_WORD.findall(prompt))))


def _runs(words: list[str], length: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(length)), strict=False))


def _other_letters(caption: str, prompt: str) -> list[str]:
    """Return the scripts that a caption should not be in, quotations left out.

    Of captions from elsewhere no prompt is known, and none is wrong.
    """
    own = _scripts_of_prompt(prompt)
    if not own or (caption.isascii() and "LATIN" in own):
        return []
    counts = _scripts(unquoted(caption))
    total = counts.total()
    return [
        script.lower()
        for script, count in counts.items()
        if script not in own and count > _OTHER_LETTERS.get(script, _OTHER_LETTERS_ELSE) * total
    ]


@lru_cache(maxsize=8)
def _scripts_of_prompt(prompt: str) -> frozenset[str]:
    return frozenset(_scripts(prompt))


def _scripts(text: str) -> Counter[str]:
    """Count letters by script; those of East Asia are written together and count as one."""
    letters = filter(str.isalpha, unicodedata.normalize("NFKC", text))
    names = (unicodedata.name(letter, "UNNAMED").split()[0] for letter in letters)
    return Counter("CJK" if name in _EAST_ASIAN else name.partition("-")[0] for name in names)


def _repeats(words: list[str], finish_reason: str | None) -> list[str]:
    """Return what a caption says again and again, once for each time too many."""
    told = ["stopped in a loop"] if finish_reason == "repetition" else []
    runs = _runs(words, 3)
    distinct = len(set(runs))
    if distinct == len(runs):  # nothing is said twice: nearly every caption
        return told
    if len(words) >= _DENSE_WORDS and distinct < _DENSE_SHARE * len(runs):
        return [*told, *(" ".join(run) for run, n in Counter(runs).items() for _ in range(n - 1))]
    return told + _loop(words)


def _loop(words: list[str]) -> list[str]:
    """Find a phrase that follows itself: a word 5 times, up to 7 words 3 times, longer twice."""
    for length in range(1, len(words) // 2 + 1):
        times = 5 if length == 1 else 3 if length < 8 else 2
        same = 0
        for place in range(length, len(words)):
            same = same + 1 if words[place] == words[place - length] else 0
            if same >= length * (times - 1):
                return [" ".join(words[place - length + 1 : place + 1])] * (times - 1)
    return []
