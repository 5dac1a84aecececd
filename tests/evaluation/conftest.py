"""A builder of samples, for the pure parts of evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from domainvl.schema import (
    Answer,
    Box,
    BoxesAnswer,
    Image,
    Object,
    Provenance,
    Sample,
    Source,
    Split,
    Task,
    TextAnswer,
    word,
)

SampleMaker = Callable[..., Sample]


def _make_sample(
    sample_id: str = "s",
    *,
    answer: Answer | None = None,
    boxes: Sequence[tuple[str, Box]] = (),
    task: Task | None = None,
    question: str = "What is it?",
    domain: str = "medical",
    group: str = "g",
    size_px: tuple[int, int] = (500, 200),
) -> Sample:
    """Build a sample with the given answer, or a grounding sample with the given (label, box in pixels)."""
    if boxes:
        answer = BoxesAnswer(object_ids=tuple(str(index) for index in range(len(boxes))))
    answer = answer or TextAnswer(text="lung")
    task = task or (Task.GROUNDING if isinstance(answer, BoxesAnswer) else Task.VQA)
    images = (
        Image(path="a.png", width_px=size_px[0], height_px=size_px[1], pixel_sha256="0", source=Source(uri="a.tif")),
    )
    objects = tuple(Object(id=str(index), label=label, box_px=box) for index, (label, box) in enumerate(boxes))
    return Sample(
        id=sample_id,
        domain=domain,
        task=task,
        question=question,
        answer=answer,
        images=images,
        objects=objects,
        turns=word(domain=domain, task=task, question=question, answer=answer, images=images, objects=objects),
        split=Split.TEST,
        group=group,
        provenance=Provenance(converter="test", version="0", settings_sha256="0", wording="0"),
    )


@pytest.fixture(scope="session")
def make_sample() -> SampleMaker:
    """The builder of samples."""
    return _make_sample
