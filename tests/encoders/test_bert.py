from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from vprcap.encoders import load_text_encoder
from vprcap.encoders.bert import MAX_LENGTH
from vprcap.errors import InvalidError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "brick", "house"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer with random weights and a vocabulary of three words."""
    path = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    BertModel(config).save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(vocab=str(path / "vocab.txt")).save_pretrained(path)
    return path


def test_a_caption_gives_one_token_per_word_between_its_two_marks(folder: Path) -> None:
    tokens, mask = load_text_encoder(str(folder)).encode(["red brick house", "red"])
    assert tokens.shape == (2, 5, 8)
    assert mask.sum(axis=1).tolist() == [5, 3]


@pytest.mark.parametrize("missing", [None, "", "  \n"])
def test_a_missing_caption_has_an_all_false_mask(folder: Path, missing: str | None) -> None:
    tokens, mask = load_text_encoder(str(folder)).encode(["red brick", missing])
    assert mask[1].sum() == 0
    assert not tokens[1].any()


def test_words_are_told_as_written_with_the_pieces_that_are_theirs(tmp_path: Path) -> None:
    vocabulary = [*WORDS[:5], "red", "##dish", "brick", "house", "-", ".", "cafe"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizer(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = BertConfig(vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    BertModel(config).save_pretrained(tmp_path)
    encoder = load_text_encoder(str(tmp_path))
    captions = [" Reddish-brick Caf\u00e9. ", None]
    first, second = encoder.words(captions)
    assert first.words == ["Reddish", "-", "brick", "Caf\u00e9", "."]
    assert first.word_of_token == [-1, 0, 0, 1, 2, 3, 4, -1]
    assert (second.words, second.word_of_token, second.caption) == ([], [], None)
    _, mask = encoder.encode(captions)
    assert mask.sum(axis=1).tolist() == [len(first.word_of_token), 0]


def test_words_end_where_a_long_caption_is_cut(folder: Path) -> None:
    (words,) = load_text_encoder(str(folder)).words(["brick " * 500])
    assert len(words.word_of_token) == MAX_LENGTH and len(words.words) == MAX_LENGTH - 2


def test_tokens_of_a_caption_do_not_depend_on_its_batch(folder: Path) -> None:
    encoder = load_text_encoder(str(folder))
    alone, _ = encoder.encode(["red house"])
    together, _ = encoder.encode(["red brick brick brick house", "red house"])
    np.testing.assert_allclose(together[1, :4], alone[0], atol=1e-5)


def test_a_long_caption_is_cut(folder: Path) -> None:
    tokens, mask = load_text_encoder(str(folder)).encode(["brick " * 500])
    assert tokens.shape[1] == mask.sum() == MAX_LENGTH


def test_a_model_that_lacks_a_weight_is_refused(folder: Path, tmp_path: Path) -> None:
    model = BertModel.from_pretrained(folder)
    model.encoder.layer[0].output.dense.register_parameter("weight", None)
    model.save_pretrained(tmp_path)
    with pytest.raises(InvalidError, match="lacks 1 weights, encoder.layer.0.output.dense.weight"):
        load_text_encoder(str(tmp_path))
