"""A tiny but real LLaVA that ships with the package, and the training that made it.

Demo, tests and rehearsals need a captioner that goes through exactly the code of a 7B model, and no
pretrained one can be had from a package registry. `python -m vprcap.tiny_llava OUT` makes it again
from nothing. It knows the demo city only; it never saw a photograph.
"""

from pathlib import Path


def checkpoint_path() -> Path:
    """Return the folder of the shipped checkpoint, for `from_pretrained`."""
    return Path(__file__).parent / "checkpoint"
