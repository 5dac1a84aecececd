"""The converter of DriveLM: finds file and images, and makes samples of each key frame's questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from pydantic import JsonValue

from domainvl.conversion import Plan, UnitResult
from domainvl.conversion.answers import GivenAnswer, WrittenAnswers
from domainvl.errors import ItemError
from domainvl.schema import (
    Image,
    ImageStore,
    Provenance,
    Question,
    Reject,
    Sample,
    Severity,
    Split,
    samples_from_questions,
)

from ..driving.image_details import with_details
from ..driving.settings import DOMAIN
from ..losses import counted, left_out_with_it
from .asking import DETAILS, Asked, Asker, graph_question, single_questions
from .challenge import challenge_subset
from .frames import CATEGORIES, Frame, read_frame
from .graph_file import find_dataroot, find_json, read_scenes
from .key_objects import read_key_objects
from .plan import FrameUnit, Planner
from .scene_places import known_scenes, place_units
from .settings import DriveLmSettings
from .views import Views, store_views


class DriveLmConverter:
    """Turns DriveLM's graphs of questions into samples, and answers to them into the files of its challenge."""

    name = "drivelm"
    summary = "DriveLM: questions about six views of nuScenes key frames, from perception to behaviour."
    settings_type = DriveLmSettings
    licence = "CC-BY-NC-SA-4.0"  # of DriveLM-nuScenes (OpenDriveLab/DriveLM, README) and of nuScenes' images

    def plan(self, source: Path, settings: DriveLmSettings) -> Plan[FrameUnit]:
        """Read the file; no image is opened.

        Raises:
            InputNotFoundError: If the file or the data root is missing.
            DatasetError: If the file is not in the layout of DriveLM.
            UsageError: If there are several files, or none of the questions has an answer, or no scene has a place in
                a split.
            NothingToDoError: If no key frame can be used.
        """
        path = find_json(source)
        dataroot = find_dataroot(path, settings.dataroot)
        rejects: list[Reject] = []
        known = known_scenes(dataroot, rejects)
        planner = Planner(dataroot, settings, rejects)
        units = planner.units(read_scenes(path, rejects), path)
        placed = place_units(units, known, settings)
        return Plan(
            placed.units,
            {path.name: path},
            [*rejects, *placed.rejects],
            notes=[*placed.notes, *planner.notes, *_unanswered(placed.units)],
        )

    def convert(
        self, unit: FrameUnit, settings: DriveLmSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Make the samples of one key frame; a question that cannot be asked is rejected alone.

        Raises:
            ItemError: If the challenge's questions cannot be picked.
        """
        frame = read_frame(unit.content)
        pairs = challenge_subset(frame) if settings.challenge_subset else list(frame.pairs)
        files = {view: (name, unit.dataroot / name) for view, name in unit.images}
        missing = [name for name, path in files.values() if not path.is_file()]
        if missing:
            return UnitResult(rejects=_lost(unit, len(pairs), _not_fetched(unit, missing, strict=settings.strict)))
        try:
            views = store_views(files, images, layout=settings.layout, draw_labels=settings.draw_labels)
        except ItemError as error:
            reject = Reject(unit.prefix, "convert", error.reason, str(error), error.action)
            return UnitResult(rejects=_lost(unit, len(pairs), reject))
        key_objects = read_key_objects(frame.key_objects, views, unit.prefix)
        questions = Asker(unit.prefix, views, key_objects, settings.seed)
        asked = list(questions.ask(pairs, keep_unanswered=not unit.is_answered))
        rejects = [*key_objects.rejects, *questions.rejects]
        rejects += _left_out(unit.prefix, frame, has_pairs=bool(pairs))
        samples = [
            sample
            for question, last in _worded(asked, unit, settings, views)
            for sample in samples_from_questions(
                [question],
                id_prefix=f"{self.name}-challenge" if settings.challenge_subset else self.name,
                domain=DOMAIN,
                images=_images(views, _facts(unit, frame, views) | last),
                objects=key_objects.objects,
                group=unit.group,
                provenance=provenance,
                # Nothing may be trained on a placeholder.
                fixed_split=unit.fixed_split if unit.is_answered else Split.TEST,
                warnings=_warnings(asked, question),
            )
        ]
        return UnitResult(samples, rejects)

    def unit_name(self, unit: FrameUnit) -> str:
        """Name a frame by the tokens of its scene and itself."""
        return unit.prefix

    def unit_files(self, unit: FrameUnit) -> list[Path]:
        """Name the images of a frame; what the file says of it stands in the unit."""
        return [unit.dataroot / name for _, name in unit.images]

    def missing_answers(
        self, rejects: Iterable[Reject], here: Iterable[Sample], elsewhere: Iterable[Sample]
    ) -> list[Reject]:
        """Name the official ids that a submission needs and that the data set lacks.

        See :func:`domainvl.converters.drivelm.completeness.missing_answers`.
        """
        from .completeness import missing_answers

        return missing_answers(rejects, here, elsewhere)

    def write_answers(self, given: Iterable[GivenAnswer], out: Path, about: Mapping[str, JsonValue]) -> WrittenAnswers:
        """Write ``output.json`` and ``submission.json``; see :mod:`domainvl.converters.drivelm.submission`.

        Raises:
            UsageError: If ``about`` says something that a submission has no place for.
        """
        # Here, since only this direction needs it.
        from .submission import write_submission

        return write_submission(given, out, about)


def _worded(
    asked: list[Asked], unit: FrameUnit, settings: DriveLmSettings, views: Views
) -> Iterator[tuple[Question, dict[str, JsonValue]]]:
    """Yield each question with what its sample's details say of it."""
    if settings.rounds == "single" or not asked:
        for question, item in single_questions(asked, views.layout):
            yield question, item.details
        return
    rounds: list[JsonValue] = [item.details for item in asked]
    yield graph_question(asked, unit.prefix, views), asked[-1].details | {"rounds": rounds}


def _lost(unit: FrameUnit, question_count: int, reject: Reject) -> list[Reject]:
    """Say which questions are lost with a frame: one by one where they must be submitted."""
    ids = [f"{unit.prefix}_{number}" for number in range(question_count)]
    if not ids:
        return [reject]
    if not unit.is_answered:
        return [replace(reject, input=official_id) for official_id in ids]
    lost = f"{counted(len(ids), 'question')}, {ids[0]}" + (f" to {ids[-1]}" if len(ids) > 1 else "")
    return [replace(reject, message=f"{reject.message.removesuffix('.')}. {left_out_with_it(lost)}")]


def _not_fetched(unit: FrameUnit, missing: list[str], *, strict: bool) -> Reject:
    message = f"{len(missing)} of its {len(unit.images)} images are not on disk, such as {missing[0]}"
    action = "Fetch the part of nuScenes that holds them, or name another --dataroot"
    severity = Severity.FAILED if strict else Severity.SKIPPED
    return Reject(unit.prefix, "convert", "missing-image", message, action, severity)


def _left_out(prefix: str, frame: Frame, *, has_pairs: bool) -> Iterator[Reject]:
    for category in frame.other_categories:
        why = "Questions of this category are not read: nothing says how the official evaluation would count them"
        action = f"Name it one of {', '.join(CATEGORIES)} in the file, if it is one of them"
        yield Reject(f"{prefix} {category[:80]}", "convert", "unknown-category", why, action, Severity.SKIPPED)
    if not has_pairs:
        why = "No question is asked about the key frame"
        action = "Nothing needs to be done, unless the file should have some: take the complete one then"
        yield Reject(prefix, "convert", "no-question", why, action, Severity.SKIPPED)


def _warnings(asked: list[Asked], question: Question) -> list[str]:
    """Return the warnings of the questions that a sample is made of, each once."""
    own = [item for item in asked if item.official_id == question.key] or asked
    return list(dict.fromkeys(warning for item in own for warning in item.warnings))


def _facts(unit: FrameUnit, frame: Frame, views: Views) -> dict[str, JsonValue]:
    facts: dict[str, JsonValue] = {
        "scene": unit.scene,
        "frame": unit.frame,
        "scene_description": unit.description,
        "layout": views.layout,
        "sizes_px": {view: [*size_px] for view, size_px in views.sizes_px.items()},
        "is_answered": unit.is_answered,
    }
    scene_extra: Any = msgspec.json.decode(unit.scene_extra)
    extra = {"scene_extra": scene_extra, "frame_extra": dict(frame.extra)}
    return facts | {key: value for key, value in extra.items() if value}


def _images(views: Views, details: dict[str, JsonValue]) -> list[Image]:
    """Return the images of a sample; what the file says stands with the first."""
    first, *others = views.images
    return [with_details(first, {DETAILS: details}), *others]


def _unanswered(units: Sequence[FrameUnit]) -> Iterator[str]:
    scenes = {unit.scene for unit in units}
    unanswered = len({unit.scene for unit in units if not unit.is_answered})
    if unanswered:
        yield (
            f"{unanswered} of {len(scenes)} scenes have no answers: theirs are placeholders, for predictions only; "
            "scores of the test split mean nothing"
        )
