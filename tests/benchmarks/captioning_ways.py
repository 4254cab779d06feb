"""Four ways to caption the same images with the same loaded model, timed alike.

The first three are what people write: they open the files, frame them, and call the processor and
the model themselves. All read the same files and use the same framing, prompt and weights.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from transformers import pipeline

from vprcap.caption_job import CaptionJob, WorkOptions
from vprcap.caption_sets.caption_set import CaptionSet
from vprcap.caption_sets.captions import read_captions
from vprcap.captioners.ahead import WaitingRoom
from vprcap.captioners.transformers import TransformersCaptioner
from vprcap.decoding import DecodePool
from vprcap.images import decode_image
from vprcap.manifests.manifest import image_path
from vprcap.stages.caption import caption

Texts = list[str]


@dataclass(frozen=True)
class Measured:
    """One way over some images."""

    texts: Texts
    seconds: float
    peak_bytes: int
    """Of this process, or of the GPU."""
    waiting: float | None = None
    """Share of the seconds in which the model waited for images."""
    not_writing: float | None = None
    """Share in which no caption was written, since no row was prefilled; waits for images apart."""
    tokens_an_image: float | None = None

    @property
    def rate(self) -> float:
        """Images a second."""
        return len(self.texts) / self.seconds


class Ways:
    """The ways, over the first images of a plan."""

    def __init__(self, job: CaptionJob, batch_size: int) -> None:
        assert isinstance(job.captioner, TransformersCaptioner)
        self._job, self._batch_size, self.captioner = job, batch_size, job.captioner
        self.captioner.load()
        self.captioner.load = lambda: None  # type: ignore[method-assign]
        self.model: Any = self.captioner._model
        self._processor = self.captioner._checkpoint.processor
        self._options = {"max_new_tokens": self.captioner.config.max_new_tokens, "do_sample": False}
        names = [name for each in job.plan.shards for name in job.plan.image_ids(each)]
        self._paths = [image_path(job.plan.info.image_root, name) for name in names]

    def num_prompt_tokens(self) -> int:
        """Tokens of picture and prompt."""
        image = next(self._framed(0, 1))
        inputs = self.captioner._inputs([np.asarray(image)])
        return int(inputs["input_ids"].shape[1])

    def single(self, num_images: int) -> Measured:
        """Open, process and generate: one image at a time."""
        return _timed(lambda: self._in_batches(num_images, 1))

    def static(self, num_images: int) -> Measured:
        """Do the same in batches: each waits for its longest caption."""
        return _timed(lambda: self._in_batches(num_images, self._batch_size))

    def pipeline(self, num_images: int) -> Measured:
        """Leave it to `transformers.pipeline`."""
        pipe = pipeline(
            "image-text-to-text",
            model=self.model,
            processor=self._processor,
            batch_size=self._batch_size,
        )

        def inputs() -> Iterator[dict[str, Any]]:
            for image in self._framed(0, num_images):
                yield {"images": image, "text": self.captioner._text}

        def work() -> Texts:
            written = pipe(
                inputs(),
                processor_kwargs={"add_special_tokens": False},
                generate_kwargs=self._options,
                return_full_text=False,
            )
            return [answers[0]["generated_text"].strip() for answers in written]

        return _timed(work)

    def vprcap(self, num_images: int, folder: Path) -> Measured:
        """Run the whole stage: decode workers, journal, commit."""
        captions, plan = CaptionSet(folder), self._job.plan.first(num_images)
        job = replace(self._job, captions=captions, plan=plan, pending=plan.shards)
        work = WorkOptions(batch_size=self._batch_size, reuse=False)

        def stage() -> Texts:
            rows = read_captions(caption(job, work))
            return [text.strip() for text in rows["caption"].to_pylist()]

        with _waiting() as (waited, not_writing):
            measured = _timed(stage)
        tokens = read_captions(folder, ["num_output_tokens"])["num_output_tokens"].to_pylist()
        return replace(
            measured,
            waiting=sum(waited) / measured.seconds,
            not_writing=sum(not_writing) / measured.seconds,
            tokens_an_image=sum(tokens) / len(tokens),
        )

    def _in_batches(self, num_images: int, size: int) -> Texts:
        texts: Texts = []
        for start in range(0, num_images, size):
            texts += self._generate(list(self._framed(start, min(start + size, num_images))))
        return texts

    def _framed(self, first: int, end: int) -> Iterator[Image.Image]:
        for path in self._paths[first:end]:
            yield Image.fromarray(decode_image(path, self.captioner.framing, 50).pixels)

    def _generate(self, images: Sequence[Image.Image]) -> Texts:
        inputs = self._processor(
            text=[self.captioner._text] * len(images),
            images=list(images),
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        ).to(self.model.device, self.model.dtype)
        output = self.model.generate(**inputs, **self._options)
        answers = output[:, inputs["input_ids"].shape[1] :]
        decoded = self._processor.batch_decode(answers, skip_special_tokens=True)
        return [text.strip() for text in decoded]


def _timed(work: Callable[[], Texts]) -> Measured:
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    begun = time.perf_counter()
    texts = work()
    seconds = time.perf_counter() - begun
    return Measured(texts, seconds, torch.cuda.max_memory_allocated() if cuda else _peak_bytes())


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@contextmanager
def _waiting() -> Iterator[tuple[list[float], list[float]]]:
    """Note the seconds of each wait: for decoded images, and for the first prefilled row."""
    for_images: list[float] = []
    for_rows: list[float] = []
    show, wait = DecodePool.show, WaitingRoom.wait

    def timed_show(*args: Any, **options: Any) -> Iterator[Any]:
        images = show(*args, **options)
        while True:
            begun = time.perf_counter()
            image = next(images, None)
            for_images.append(time.perf_counter() - begun)
            if image is None:
                return
            yield image

    def timed_wait(*args: Any) -> None:
        begun = time.perf_counter()
        wait(*args)
        for_rows.append(time.perf_counter() - begun)

    with ExitStack() as patches:
        patches.enter_context(patch.object(DecodePool, "show", timed_show))
        patches.enter_context(patch.object(WaitingRoom, "wait", timed_wait))
        yield for_images, for_rows
