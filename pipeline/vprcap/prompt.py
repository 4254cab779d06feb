"""The fixed instruction that a captioner gets with every image.

The file *is* the prompt: nothing is substituted. Its fingerprint goes into the caption set's
name, so two wordings can never mix.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vprcap.errors import InvalidError, MissingError
from vprcap.resources import shipped


@dataclass(frozen=True, slots=True)
class Prompt:
    """A named instruction."""

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the text's UTF-8 bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def load_prompt(name_or_path: str) -> Prompt:
    """Load a shipped prompt by name (``place``) or one of your own by path (``my.txt``).

    Raises:
        MissingError: there is no such prompt.
        InvalidError: it is empty, not UTF-8, or holds an ``<image>`` token.
    """
    path = _find(name_or_path)
    try:
        text = path.read_text("utf-8").strip()
    except UnicodeDecodeError:
        raise InvalidError(f"prompt {path} is not UTF-8 text; save it as UTF-8") from None
    if not text:
        raise InvalidError(f"prompt {path} is empty; write the instruction into it")
    if "<image>" in text:
        raise InvalidError(
            f"prompt {path} contains <image>; remove it: the chat template places the image itself"
        )
    return Prompt(path.stem, text)


def _find(name_or_path: str) -> Path:
    for path in (Path(name_or_path), shipped("prompts") / f"{name_or_path}.txt"):
        with suppress(OSError, ValueError):  # a whole instruction is no file name
            if path.is_file():
                return path
    names = ", ".join(sorted(path.stem for path in shipped("prompts").glob("*.txt")))
    raise MissingError(f"no prompt {name_or_path[:80]!r}; give a text file or one of: {names}")
