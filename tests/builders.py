"""Builders of small samples, and a converter without a format, for the tests of the frame."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError
from domainvl.schema import (
    Answer,
    Image,
    ImageStore,
    Object,
    Provenance,
    Question,
    Reject,
    Sample,
    Severity,
    Source,
    Split,
    Task,
    TextAnswer,
    samples_from_questions,
    word,
)

PROVENANCE = Provenance(converter="toy", version="0", settings_sha256="0", wording="0")


def make_image(path: str = "images/a.png", *, size_px: tuple[int, int] = (200, 100), **fields: Any) -> Image:
    width_px, height_px = size_px
    source = Source(uri="a.tif")
    return Image(path=path, width_px=width_px, height_px=height_px, pixel_sha256="0", source=source, **fields)


def make_sample(
    sample_id: str = "s",
    *,
    task: Task = Task.VQA,
    question: str = "What is it?",
    answer: Answer | None = None,
    images: Sequence[Image] | None = None,
    objects: Sequence[Object] = (),
    domain: str = "general",
    **fields: Any,
) -> Sample:
    answer = answer or TextAnswer(text="a lung")
    images = tuple([make_image()] if images is None else images)
    turns = word(domain=domain, task=task, question=question, answer=answer, images=images, objects=objects)
    fields = {"split": Split.TRAIN, "group": "g", "provenance": PROVENANCE} | fields
    return Sample(
        id=sample_id,
        domain=domain,
        task=task,
        question=question,
        answer=answer,
        images=images,
        objects=tuple(objects),
        turns=turns,
        **fields,
    )


class ToySettings(ConverterSettings):
    """Settings of the toy converter."""

    grey: int = 7


class ToyConverter:
    """Makes one sample of each file of a folder, unless the file says what goes wrong."""

    name = "toy"
    summary = "Files of one word"
    settings_type = ToySettings
    licence = "CC0-1.0"

    def plan(self, source: Path, settings: ToySettings) -> Plan[Path]:
        files = sorted(source.glob("*.toy"))
        if not files:
            raise NothingToDoError("Nothing to convert", where=source, rule="there is no .toy file")
        return Plan(units=files, sources={path.name: path for path in files})

    def convert(self, unit: Path, settings: ToySettings, images: ImageStore, provenance: Provenance) -> UnitResult:
        match unit.read_text():
            case "boom":
                raise ZeroDivisionError("the toy broke")
            case "bad":
                raise ItemError("Cannot play", reason="bad-toy", where=unit.name, rule="it says bad", action="Mend it")
            case "skip":
                reject = Reject(unit.name, "label", "unwanted", "not wanted", severity=Severity.SKIPPED)
                return UnitResult(rejects=[reject])
        pixels = np.full((4, 5), settings.grey, np.uint8)
        image = images.put_pixels(pixels).to_image(Source(uri=unit.name))
        questions = [Question("colour", Task.VQA, "Which colour?", TextAnswer(text="grey"))]
        samples = samples_from_questions(
            questions,
            id_prefix=unit.stem,
            domain="general",
            images=[image],
            group=unit.stem,
            provenance=provenance,
        )
        return UnitResult(samples=list(samples))

    def unit_name(self, unit: Path) -> str:
        return unit.name

    def unit_files(self, unit: Path) -> list[Path]:
        return [unit]


def write_toys(folder: Path, **content: str) -> Path:
    """Write files NAME.toy with the given words."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / f"{name}.toy").write_text(text)
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of a folder by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def differences(folder: Path, expected: dict[str, bytes]) -> list[str]:
    """Say in which files a folder differs from what was expected, and for text in which lines: a page at most."""
    found = bytes_of(folder)
    lines = []
    for name in sorted(found.keys() | expected.keys()):
        if name not in found or name not in expected:
            lines.append(f"{name}: only in {'the folder' if name in found else 'what was expected'}")
        elif found[name] != expected[name]:
            texts = (content[name].decode(errors="replace").splitlines() for content in (expected, found))
            lines += [f"{name}: {line[:300]}" for line in difflib.unified_diff(*texts, lineterm="", n=0)]
    return lines[:40]
