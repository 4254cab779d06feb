"""Keep bars and notes of libraries off stderr, where our own progress is shown."""

import logging

import transformers


def quiet_libraries() -> None:
    """Silence transformers' loading bars and notes, and what bitsandbytes logs.

    bitsandbytes logs a line for every int8 layer at every call, and one for an optional kernel.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
