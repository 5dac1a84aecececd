"""What a question is, and how questions about one set of images become samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from domainvl.schema.phrases import Phrasing, prompts, stems
from domainvl.schema.sample import (
    Answer,
    Domain,
    Image,
    Object,
    Provenance,
    Sample,
    Split,
    Task,
    TextAnswer,
    Turn,
)
from domainvl.schema.splitting import uniform_from_key
from domainvl.schema.wording import word

YES, NO = TextAnswer(text="yes"), TextAnswer(text="no")


@dataclass(frozen=True)
class Question:
    """One question about a set of images.

    Attributes:
        key: Short name, unique among the questions about these images; part of the sample's id.
        task: What kind of question it is.
        text: The question, or for grounding the expression to find.
        answer: The true answer.
        earlier: What was said before it; see :class:`~domainvl.schema.sample.Sample`.
        variants: Other ways to say ``text``, taken only where variety is asked for.
        preface: What the prompt says before it; see :class:`~domainvl.schema.sample.Sample`.
    """

    key: str
    task: Task
    text: str
    answer: Answer
    earlier: tuple[Turn, ...] = ()
    variants: tuple[str, ...] = ()
    preface: str | None = None


def make_question(
    key: str, task: Task, stem: str, answer: Answer, preface: str | None = None, **slots: str
) -> Question:
    """Make a question in all the ways of a table of stems.

    Args:
        key: Its key.
        task: What kind of question it is.
        stem: Name of the table.
        answer: The true answer.
        preface: What the prompt says before it.
        slots: What is put into the stem.
    """
    text, *variants = stems(stem, **slots)
    return Question(key, task, text, answer, variants=tuple(variants), preface=preface)


def scale_note(gsd_m: float | None, *, several_images: bool = False) -> str | None:
    """Say how large a pixel is, to three significant digits; None where it is not known.

    Args:
        gsd_m: Ground sampling distance: the side of a pixel on the ground.
        several_images: Whether it is said of several images.
    """
    if gsd_m is None:
        return None
    size = f"{gsd_m:.3g}" if gsd_m < 100 else f"{gsd_m:.0f}"  # of larger numbers the former writes an exponent
    return f"{'The images have' if several_images else 'The image has'} {size} m per pixel."


def pick(choices: Sequence[str], key: str) -> str:
    """Choose evenly; equal keys choose alike."""
    return choices[int(uniform_from_key(key) * len(choices))]


def samples_from_questions(
    questions: Iterable[Question],
    *,
    id_prefix: str,
    domain: Domain,
    images: Sequence[Image],
    objects: Sequence[Object] = (),
    group: str,
    provenance: Provenance,
    fixed_split: Split | None = None,
    warnings: Sequence[str] = (),
    phrasing: Phrasing | None = None,
) -> Iterator[Sample]:
    """Turn questions about one set of images into samples.

    Args:
        questions: What is asked.
        id_prefix: Names the images; the question's key is appended.
        domain: The field.
        images: The images.
        objects: The objects in them.
        group: The group that must not be divided.
        provenance: What makes the samples.
        fixed_split: The split that the makers of the source chose; where None, the frame draws it by group and the
            samples say train until then.
        warnings: What a careful reader should know about the images.
        phrasing: Which phrases are used, drawn by the sample's id; the first of each table where None.
    """
    phrasing = phrasing or Phrasing()
    for question in questions:
        sample_id = f"{id_prefix}/{question.key}"
        ways = (question.text, *question.variants)
        text = ways[phrasing.choose(f"{sample_id}/question", len(ways))]
        # The first prompt is stored as None, so that records without variety stay as they are.
        prompt = phrasing.choose(f"{sample_id}/prompt", len(prompts(domain, question.task))) or None
        turns = word(
            domain=domain,
            task=question.task,
            question=text,
            answer=question.answer,
            images=images,
            objects=objects,
            earlier=question.earlier,
            preface=question.preface,
            phrasing=prompt,
        )
        yield Sample(
            id=sample_id,
            domain=domain,
            task=question.task,
            question=text,
            answer=question.answer,
            earlier=question.earlier,
            preface=question.preface,
            phrasing=prompt,
            images=tuple(images),
            objects=tuple(objects),
            turns=turns,
            split=fixed_split or Split.TRAIN,
            fixed_split=fixed_split,
            group=group,
            provenance=provenance,
            warnings=tuple(warnings),
        )
