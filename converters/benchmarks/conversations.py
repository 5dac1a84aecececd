"""From conversations about one image to samples: what the converters of GeoChat-Instruct and FIT-RS share.

A conversation of several rounds is one sample: its last round is asked, the rounds before it are what was said earlier.
Each round is worded as a sample of its task would be, so that every answer is trained on in the form in which it is
evaluated.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from domainvl.conversion import UnitResult
from domainvl.errors import ItemError
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import Image, Object, Provenance, Sample, Source, Split, Turn
from domainvl.schema.wording import image_prefix, word
from domainvl.schema.writer import Reject

from .image_files import put_image
from .llava_json import TEST, Row
from .marked_text import MarkedText, Round, has_marks
from .reading import image_rejected, reject_of, source_of
from .rotated_text import BoxNotation

DOMAIN = "remote-sensing"

ReadRound: TypeAlias = Callable[[str, str, MarkedText], Round]
"""Reads question and answer of one round; raises ItemError."""

_TAG = re.compile(r"\[([a-z_]+)\]\s*", re.IGNORECASE)


@dataclass(frozen=True)
class ImageUnit:
    """One image with all conversations about it.

    Attributes:
        uri: The image, relative to the input.
        path: Its file.
        group: What must not be divided over splits.
        warnings: What a reader of the samples should know.
        rows: The conversations, in the order of the files.
    """

    uri: str
    path: Path
    group: str
    warnings: tuple[str, ...]
    rows: tuple[Row, ...]


def by_image(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Gather rows by their image, sorted by its name."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.image].append(row)
    return dict(sorted(found.items()))


def missing_image(image: str, rows: Sequence[Row]) -> Reject:
    """Return the reject of an image that is not there."""
    return Reject(
        image,
        "plan",
        "image-missing",
        f"it is not in the folder of images; left out with it: {_conversations(rows)}",
        "Fetch the complete set of images",
    )


def convert_unit(
    unit: ImageUnit,
    images: ImageStore,
    provenance: Provenance,
    *,
    prefix: str,
    notation: BoxNotation,
    read_round: ReadRound,
) -> UnitResult:
    """Store the image and make a sample of each conversation about it.

    Args:
        unit: The unit.
        images: Takes the pixels.
        provenance: What makes the samples.
        prefix: What the ids of the data set begin with.
        notation: What the numbers of a box mean.
        read_round: Reads one round.
    """
    try:
        stored = put_image(images, unit.path)
    except ItemError as error:
        return image_rejected(unit.uri, error, _conversations(unit.rows))
    source = source_of(unit.path, unit.uri)
    samples: list[Sample] = []
    rejects: list[Reject] = []
    for row in unit.rows:
        try:
            marks = MarkedText(notation, stored.width_px, stored.height_px)
            rounds = [read_round(question, answer, marks) for question, answer in row.rounds]
        except ItemError as error:
            rejects.append(reject_of(row.name, error, "convert"))
        else:
            image = _image_of(stored, source, row)
            samples += _samples(unit, row, rounds, marks, image, prefix, provenance)
    return UnitResult(samples, rejects)


def split_tag(question: str) -> tuple[str, str]:
    """Return the tag before a question, in lower case and without brackets, and the rest; no tag is ``""``."""
    match = _TAG.match(question)
    rest = "" if match is None else question[match.end() :].strip()
    return (match[1].lower(), rest) if match is not None and rest else ("", question)


def _samples(
    unit: ImageUnit,
    row: Row,
    rounds: Sequence[Round],
    marks: MarkedText,
    image: Image,
    prefix: str,
    provenance: Provenance,
) -> Iterator[Sample]:
    *before, last = rounds
    earlier = tuple(turn for said in before for turn in _turns(said, marks.objects, image))
    return samples_from_questions(
        [Question(str(row.number), last.task, last.question, last.answer, earlier=earlier)],
        id_prefix=f"{prefix}/{Path(row.file).stem}",
        domain=DOMAIN,
        images=[image],
        objects=marks.objects,
        group=unit.group,
        provenance=provenance,
        # What the makers train on is divided further; what they test on is not trained on.
        fixed_split=Split.TEST if row.official_split == TEST else None,
        warnings=[*unit.warnings, *marks.warnings],
    )


def _turns(said: Round, objects: Sequence[Object], image: Image) -> Iterator[Turn]:
    """Word an earlier round; the image is named once, before the first."""
    turns = word(
        domain=DOMAIN, task=said.task, question=said.question, answer=said.answer, images=[image], objects=objects
    )
    for turn in turns:
        yield Turn(role=turn.role, text=turn.text.removeprefix(image_prefix([image])))


def _image_of(stored: StoredImage, source: Source, row: Row) -> Image:
    details: dict[str, JsonValue] = {**dict(row.details), "official_split": row.official_split, "row": row.name}
    tags = [split_tag(question)[0] for question, _ in row.rounds]
    if any(tags):
        details["tags"] = [*tags]
    raw = _raw(row.rounds)
    if raw:
        details["raw_rounds"] = raw
    return stored.to_image(source.model_copy(update={"details": details}))


def _raw(rounds: Sequence[tuple[str, str]]) -> dict[str, JsonValue]:
    """Return the rounds whose marks were translated, by their place from 1, as the file has them."""
    return {
        str(number): [question, answer]
        for number, (question, answer) in enumerate(rounds, start=1)
        if has_marks(question + answer)
    }


def _conversations(rows: Sequence[Row]) -> str:
    return f"{len(rows)} conversation{'s' * (len(rows) != 1)}"
