"""A running batch writes what `generate` writes over one image at a time, in whatever company."""

import contextlib
import gc
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig

from benchmarks import natural_ends
from benchmarks.random_llava import write_random_llava
from vprcap.caption_sets.reuse import Reuse
from vprcap.captioners import Generated, OutOfMemory, load_captioner
from vprcap.captioners.batch_size import BatchSize
from vprcap.captioners.drafts import Drafts
from vprcap.captioners.rows import RowWriter
from vprcap.captioners.running import can_run
from vprcap.captioners.transformers import TransformersCaptioner
from vprcap.captioners.watched import WatchedCaptioner
from vprcap.city import EVALUATION, write_city
from vprcap.city.seeds import TESTS
from vprcap.commit_protocol.attempts import Attempts
from vprcap.errors import Interrupted
from vprcap.images import DecodedImage, decode_image, frame
from vprcap.prompt import load_prompt

NUM_IMAGES = 12
LIMIT = 16


def never() -> bool:
    return False


def captioner_of(model: Path | str, **options: Any) -> TransformersCaptioner:
    settings = {"quantization": "none", "max_new_tokens": LIMIT, **options}
    prompt = load_prompt("place")
    loaded = load_captioner("transformers", str(model), prompt=prompt, framing="pad", **settings)
    assert isinstance(loaded, TransformersCaptioner)
    loaded.load()
    return loaded


@pytest.fixture(scope="module")
def uneven_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a random LLaVA whose words vary."""
    size = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    vision = CLIPVisionConfig(
        **size, num_attention_heads=2, image_size=56, patch_size=14, projection_dim=64
    )
    text = LlamaConfig(
        **size,
        vocab_size=2000,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    folder = tmp_path_factory.mktemp("uneven")
    return write_random_llava(folder, vision, text, torch.float32, "cpu")


@pytest.fixture
def uneven(
    uneven_model: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TransformersCaptioner]:
    """Load it; its captions end after 10 tokens or so, or at the limit of 16."""
    monkeypatch.setattr(natural_ends, "MEAN", 10)
    monkeypatch.setattr(natural_ends, "SPREAD", 4)

    def load(**options: Any) -> TransformersCaptioner:
        captioner = captioner_of(uneven_model, **options)
        num_prompt = captioner._inputs(noise(captioner)[:1])["input_ids"].shape[1]
        natural_ends.give_natural_ends(captioner._model, num_prompt, end_id=2)
        return captioner

    return load


def noise(captioner: TransformersCaptioner) -> list[np.ndarray]:
    pictures = (
        np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        for seed in range(NUM_IMAGES)
    )
    return [
        np.asarray(frame(Image.fromarray(each).resize((64, 48)), captioner.framing))
        for each in pictures
    ]


def alone(
    captioner: TransformersCaptioner, pixels: list[np.ndarray], seeds: list[int]
) -> list[Generated]:
    """Caption with `generate`, one image at a time."""
    own = [[seed] for seed in seeds] or [[]] * len(pixels)
    return [
        captioner.caption([image], never, each)[0] for image, each in zip(pixels, own, strict=True)
    ]


def run(
    captioner: TransformersCaptioner,
    pixels: list[np.ndarray],
    num_slots: int,
    order: list[int],
    seeds: list[int],
) -> list[Generated]:
    """Caption in a running batch, in an order; return the captions in the first order."""
    batch, waiting = captioner.running(num_slots), list(order)
    assert batch is not None
    written: dict[str, Generated] = {}
    while len(written) < len(pixels):
        enter, waiting = waiting[: batch.wanted], waiting[batch.wanted :]
        own = [seeds[each] for each in enter] if seeds else []
        entering = [pixels[each] for each in enter]
        ended = batch.advance([str(each) for each in enter], entering, own, never)
        assert ended and not written.keys() & dict(ended).keys()
        written |= ended
    return [written[str(each)] for each in range(len(pixels))]


@pytest.mark.parametrize("num_slots", [1, 3, 8, 20])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_captions_that_come_and_go_equal_those_of_one_image_at_a_time(
    uneven: Callable[..., TransformersCaptioner], num_slots: int, temperature: float
) -> None:
    captioner = uneven(temperature=temperature)
    pixels = noise(captioner)
    seeds = list(range(100, 100 + NUM_IMAGES)) if temperature else []
    expected = alone(captioner, pixels, seeds)
    assert {each.finish_reason for each in expected} == {"stop", "length"}
    assert len({each.num_output_tokens for each in expected}) > 3, "lengths must differ"
    assert len({each.text for each in expected}) == NUM_IMAGES, "the pictures must matter"
    order = random.Random(num_slots).sample(range(NUM_IMAGES), NUM_IMAGES)
    assert run(captioner, pixels, num_slots, order, seeds) == expected


@pytest.fixture(scope="module")
def city_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    images = tmp_path_factory.mktemp("city")
    write_city(images, seed=TESTS, num_places=3, traversals=EVALUATION)
    return sorted(images.rglob("*.jpg"))


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_what_the_tiny_llava_says_depends_neither_on_the_batch_nor_on_the_order(
    city_paths: list[Path], quantization: str
) -> None:
    captioner = captioner_of("packaged:tiny-llava", quantization=quantization, max_new_tokens=128)
    decoded = [decode_image(path, captioner.framing, 50).pixels for path in city_paths]
    pixels = [each for each in decoded if each is not None]
    expected = alone(captioner, pixels, [])
    assert len({each.text for each in expected}) > 2
    backwards = list(reversed(range(len(pixels))))
    assert run(captioner, pixels, 4, backwards, []) == expected
    static = captioner.caption([pixels[each] for each in backwards], never)
    assert static[::-1] == expected


class Prophet(Drafts):
    """Knows the captions, and is wrong whenever the next token is one of some."""

    def __init__(self, captions: list[list[int]], wrong: int) -> None:
        super().__init__()
        self._captions, self._wrong = captions, wrong
        self.num_asked = 0

    def after(self, tokens: Sequence[int], most: int) -> list[int]:
        self.num_asked += 1
        known = next(each for each in self._captions if each[: len(tokens)] == list(tokens))
        following = known[len(tokens) :][:most]
        return [token + (token % 5 < self._wrong) for token in following]


@pytest.mark.parametrize("wrong", [0, 1, 3, 5])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_right_and_wrong_guesses_change_the_number_of_steps_and_no_caption(
    uneven: Callable[..., TransformersCaptioner], wrong: int, temperature: float
) -> None:
    captioner = uneven(temperature=temperature)
    pixels = noise(captioner)
    seeds = list(range(100, 100 + NUM_IMAGES)) if temperature else []
    expected, captions = alone_with_tokens(captioner, pixels, seeds)
    prophet = captioner._drafts = Prophet(captions, wrong)
    captioner._step_choice._kinds = [(1, 5)]
    assert run(captioner, pixels, 4, list(range(NUM_IMAGES)), seeds) == expected
    one_a_step = sum(len(each) - 1 for each in captions)  # the first token is that of prefill
    six_a_step = sum(-(-(len(each) - 1) // 6) for each in captions)  # five guesses and one more
    if wrong == 5:
        assert prophet.num_asked == one_a_step
    elif wrong == 0:  # some captions begin alike: there it guesses the other
        assert six_a_step <= prophet.num_asked < 1.2 * six_a_step
    else:
        assert 1.2 * six_a_step < prophet.num_asked < one_a_step


def alone_with_tokens(
    captioner: TransformersCaptioner, pixels: list[np.ndarray], seeds: list[int]
) -> tuple[list[Generated], list[list[int]]]:
    """Caption one image at a time; return the tokens of each caption too."""
    read, seen = captioner._read, []

    def note(tokens: list[int], num_prompt: int) -> Generated:
        seen.append(list(tokens))
        return read(tokens, num_prompt)

    captioner._read = note  # type: ignore[method-assign, assignment]
    written = alone(captioner, pixels, seeds)
    captioner._read = read  # type: ignore[method-assign]
    return written, seen


def test_captions_that_are_alike_take_fewer_steps_than_tokens(city_paths: list[Path]) -> None:
    captioner = captioner_of("packaged:tiny-llava", max_new_tokens=128)
    decoded = [decode_image(path, captioner.framing, 50).pixels for path in city_paths]
    pixels = [each for each in decoded if each is not None] * 3
    captioner._step_choice._kinds = [(1, 5)]
    steps: list[int] = []
    hook = captioner._model.model.language_model.register_forward_pre_hook(
        lambda _, __, kwargs: steps.append(kwargs["inputs_embeds"].shape[1]), with_kwargs=True
    )
    written = run(captioner, pixels, 1, list(range(len(pixels))), [])
    hook.remove()
    num_steps = sum(length <= 6 for length in steps)  # prompts are longer
    assert num_steps < sum(each.num_output_tokens for each in written) / 2
    assert written == alone(captioner, pixels, [])


def items_of(captioner: TransformersCaptioner) -> list[tuple[str, DecodedImage]]:
    return [
        (f"{number}.jpg", DecodedImage("ok", None, image, f"{number:064x}", 64, 48))
        for number, image in enumerate(noise(captioner))
    ]


def rows_of(
    captioner: TransformersCaptioner, tmp_path: Path, batch_size: int = 4, attempt: int = 1
) -> dict[str, dict[str, Any]]:
    watched = WatchedCaptioner(captioner, BatchSize(batch_size))
    attempts = Attempts(tmp_path / "note.json", attempt, lambda: True)
    writer = RowWriter(watched, attempts, never, Reuse())
    rows = [row for batch in writer.rows(items_of(captioner)) for row in batch]
    assert len(rows) == NUM_IMAGES
    return {row["image_id"]: row for row in rows}


def texts(rows: dict[str, dict[str, Any]]) -> list[str | None]:
    return [rows[f"{number}.jpg"]["caption"] for number in range(NUM_IMAGES)]


def test_rows_are_finished_one_by_one_and_their_seconds_add_up(
    uneven: Callable[..., TransformersCaptioner], tmp_path: Path
) -> None:
    captioner = uneven()
    watched = WatchedCaptioner(captioner, BatchSize(4))
    attempts = Attempts(tmp_path / "note.json", 1, lambda: True)
    writer = RowWriter(watched, attempts, never, Reuse())
    items, begun = items_of(captioner), time.perf_counter()
    batches = list(writer.rows(items))
    elapsed = time.perf_counter() - begun
    assert len(batches) > NUM_IMAGES // 4 + 1
    rows = {row["image_id"]: row for batch in batches for row in batch}
    assert texts(rows) == [each.text for each in alone(captioner, noise(captioner), [])]
    assert all(row["status"] == "ok" and row["seconds"] > 0 for row in rows.values())
    assert elapsed / 2 < sum(row["seconds"] for row in rows.values()) < elapsed


def test_a_shard_that_has_killed_workers_is_captioned_without_a_running_batch(
    uneven: Callable[..., TransformersCaptioner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = uneven()
    expected = texts(rows_of(captioner, tmp_path))
    monkeypatch.setattr(captioner, "running", lambda _: pytest.fail("it must not be used"))
    assert texts(rows_of(captioner, tmp_path, attempt=4)) == expected


def test_images_in_work_when_memory_runs_out_are_captioned_in_smaller_batches(
    uneven: Callable[..., TransformersCaptioner], tmp_path: Path
) -> None:
    captioner = uneven()
    expected = texts(rows_of(captioner, tmp_path))
    sizes: list[int] = []

    def refuse(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        rows = len(kwargs["inputs_embeds"])
        sizes.append(rows)
        if rows > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model = captioner._model.model.language_model
    model.register_forward_pre_hook(refuse, with_kwargs=True)
    assert texts(rows_of(captioner, tmp_path, batch_size=16)) == expected  # four are read together
    assert max(sizes) > 2 and sizes[-1] <= 2
    batch = captioner.running(16)
    assert batch is not None
    with pytest.raises(OutOfMemory):
        batch.advance(["a", "b", "c"], noise(captioner)[:3], [], never)


def test_memory_is_free_again_once_a_batch_that_did_not_fit_is_lost(
    uneven: Callable[..., TransformersCaptioner],
) -> None:
    captioner = uneven()
    batch, pixels = captioner.running(4), noise(captioner)
    assert batch is not None

    def refuse(_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    batch.advance(["a"], pixels[:1], [], never)
    captioner._inputs = refuse  # type: ignore[method-assign]
    held = [weakref.ref(batch), weakref.ref(batch._slots)]
    gc.disable()
    try:
        with contextlib.suppress(OutOfMemory):
            batch.advance(["b", "c"], pixels[1:3], [], never)
            pytest.fail("it must not fit")
        del batch
        assert [each() for each in held] == [None, None]
    finally:
        gc.enable()


def test_an_image_that_the_model_fails_on_gets_the_blame_and_the_others_captions(
    uneven: Callable[..., TransformersCaptioner], tmp_path: Path
) -> None:
    captioner = uneven()
    expected = texts(rows_of(captioner, tmp_path))
    inputs, bad = captioner._inputs, noise(captioner)[5]

    def fail(pixels: list[np.ndarray]) -> Any:
        if any(np.array_equal(each, bad) for each in pixels):
            raise ValueError("this one does not work")
        return inputs(pixels)

    captioner._inputs = fail  # type: ignore[method-assign, assignment]
    rows = rows_of(captioner, tmp_path)
    assert rows["5.jpg"]["status"] == "model_error"
    assert texts(rows) == [None if n == 5 else text for n, text in enumerate(expected)]


def test_pictures_are_read_ahead_and_not_by_the_thread_that_writes(
    uneven: Callable[..., TransformersCaptioner],
) -> None:
    captioner = uneven()
    inputs, read = captioner._inputs, threading.Semaphore(0)

    def note(pixels: list[np.ndarray]) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        made = inputs(pixels)
        read.release(len(pixels))
        return made

    captioner._inputs = note  # type: ignore[method-assign, assignment]
    batch, pixels = captioner.running(4), noise(captioner)
    assert batch is not None and batch.wanted == 5  # one of them without a row as yet
    ended = batch.advance(list("abcde"), pixels[:5], [], never)
    assert ended and batch.wanted == len(ended)
    assert all(read.acquire(timeout=10) for _ in range(5))


def test_a_running_batch_stops_between_two_tokens(
    uneven: Callable[..., TransformersCaptioner],
) -> None:
    captioner = uneven()
    batch, asked = captioner.running(4), iter([False, False, True])
    assert batch is not None
    with pytest.raises(Interrupted):
        batch.advance(list("abcde"), noise(captioner)[:5], [], lambda: next(asked))
    assert next(asked, None) is None
    assert batch.wanted  # the fifth at least had no row, and is given up


def test_a_model_whose_attention_looks_back_a_bounded_way_keeps_to_generate(
    uneven: Callable[..., TransformersCaptioner],
) -> None:
    captioner = uneven()
    assert can_run(captioner._model)
    captioner._model.config.get_text_config().sliding_window = 8
    assert captioner.running(4) is None
