"""Answers about key frames of nuScenes, with boxes in pixels of each camera's own image; and answers to DriveLM."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from domainvl.conversion import RunSettings, convert
from domainvl.conversion.answers import AnswersSummary, write_answers
from domainvl.converters.drivelm import CONVERTER as DRIVELM
from domainvl.converters.drivelm import DriveLmSettings
from domainvl.converters.driving.canvas import Canvas
from domainvl.converters.driving.rig import channel_of
from domainvl.converters.driving.settings import DOMAIN
from domainvl.converters.driving.stitching import view_note, views_note
from domainvl.converters.nuscenes import NuscenesSettings
from domainvl.converters.nuscenes.convert import chosen_views, open_reader
from domainvl.converters.nuscenes.pictures import Pictures
from domainvl.converters.nuscenes.scene_context import check_images, complete_shots
from domainvl.converters.nuscenes.scenes import Frame, Shot, frame_name
from domainvl.converters.nuscenes.tables.finding import find_tables
from domainvl.converters.nuscenes.tables.index import SceneIndex, read_scene
from domainvl.errors import ExitCode, InputNotFoundError, ItemError, NothingToDoError, UsageError
from domainvl.evaluation.metrics.reading import read_choice
from domainvl.evaluation.predictions import Prediction, write_predictions
from domainvl.files import write_atomically
from domainvl.model.generation import GeneratedAnswer
from domainvl.prediction.answering import LIKELIHOOD_DECIMALS, Model, Progress
from domainvl.prediction.asking import BOX_TASKS, Asked, samples_to_ask
from domainvl.prediction.found_boxes import place_found
from domainvl.prediction.outputs import check_new_files, check_suffix
from domainvl.prediction.trained_settings import agree, settings_of_dataset, settings_of_training
from domainvl.prediction.vector_files import record_path, write_record
from domainvl.schema import Image, ImageStore, Sample, Split, Task, read_manifest, read_samples, to_box_px
from domainvl.schema.writer import MANIFEST_NAME

LOOK = ("layout", "draw_labels")
"""Settings that decide how the views of a frame are shown: they must be those of the training."""

CHOICE = ("cameras", "version", "index")
"""Settings of nuScenes that belong to a data root."""

CHOICE_OF_DRIVELM = ("dataroot", "challenge_subset", "questions_only", "split_by")
"""Settings of DriveLM that say which questions are read, and from where."""

PREDICTIONS_NAME = "predictions.jsonl"
"""The answers with their likelihoods, beside the files of DriveLM's challenge."""

FRAMES_AT_A_TIME = 32
"""Frames whose images lie on disk at once, in a folder that is removed."""

_ONE_VIEW = BOX_TASKS | {Task.PRESENCE}
"""Tasks that the converter asks of a view that is shown alone."""

_FIRST = 3


@dataclass(frozen=True)
class FramePrediction:
    """How key frames are asked about.

    Attributes:
        questions: What is asked of each frame: of all its views together, and what has a box for an answer, or is
            whether something is there, of each view alone.
        given: Settings of the converter that the user gave, by name.
        settings_of: Data set whose settings count in place of the checkpoint's.
        scenes: Names of the scenes to ask about; all where empty.
        each_view: Ask everything of each view alone.
        overwrite: Replace a file that is there.
    """

    questions: tuple[Asked, ...]
    given: Mapping[str, Any] = field(default_factory=dict)
    settings_of: Path | None = None
    scenes: tuple[str, ...] = ()
    each_view: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class FramesResult:
    """What a prediction made.

    Attributes:
        out: The file: JSON, one answer a line.
        record: Record of the run beside it.
        frames: Key frames that were asked about.
        answers: Answers.
        boxes: Boxes in them.
        unread: Answers that nothing could be read from, by reason.
        left_out: Key frames that were not asked about, by reason.
        notes: What the user should know.
    """

    out: Path
    record: Path
    frames: int
    answers: int
    boxes: int
    unread: Mapping[str, int]
    left_out: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Partial where key frames could not be shown."""
        return ExitCode.PARTIAL if self.left_out else ExitCode.DONE


def predict_frames(
    source: Path, out: Path, model: Model, wanted: FramePrediction, on_progress: Progress | None = None
) -> FramesResult:
    """Ask a model about the key frames of a nuScenes data root, and write its answers, one a line.

    Args:
        source: Data root.
        out: JSONL file to make.
        model: Answers.
        wanted: How it is asked about.
        on_progress: Told how many key frames are done and there are.

    Raises:
        UsageError: If something that is given is wrong, or the tables are.
        NothingToDoError: If no key frame can be shown.
        OutputError: If the file cannot be written.
    """
    check_suffix(out, ".jsonl")
    check_new_files((out, record_path(out)), overwrite=wanted.overwrite)
    settings, notes = _settings(model.training, "nuscenes", wanted.settings_of, wanted.given, CHOICE)
    reader = NuscenesSettings(**settings)
    index = open_reader(source, find_tables(source, reader.version), reader)
    asking = _Asking(source, reader.layout == "stitched", reader.draw_labels, chosen_views(index, reader), wanted)
    frames = list(_frames(source, index, wanted.scenes))
    lines: list[str] = []
    for start in range(0, len(frames), FRAMES_AT_A_TIME):
        lines += asking.answer(frames[start : start + FRAMES_AT_A_TIME], model)
        if on_progress is not None:
            on_progress(min(start + FRAMES_AT_A_TIME, len(frames)), len(frames))
    left_out = Counter(reject.reason for reject in index.rejects) + Counter(reason for reason, _ in asking.left_out)
    if not lines:
        first = asking.left_out[0][1] if asking.left_out else "the tables have no key frame"
        rule = f"none of {len(frames)} can be shown (the first: {first})"
        raise NothingToDoError("No key frame can be asked about", where=source, rule=rule)
    write_atomically(out, "".join(lines).encode())
    counts = {"frames": len(frames) - len(asking.left_out), "answers": len(lines), "boxes": asking.boxes}
    notes += [message for _, message in asking.left_out[:_FIRST]]
    record = {
        "model": model.identity.record(),
        "settings": {"layout": reader.layout, "draw_labels": reader.draw_labels, "views": list(asking.views)},
        "counts": counts | {"unread": dict(sorted(asking.unread.items())), "left_out": dict(sorted(left_out.items()))},
        "notes": notes,
    }
    return FramesResult(
        out, write_record(out, record), **counts, unread=asking.unread, left_out=left_out, notes=tuple(notes)
    )


def _settings(
    training: Mapping[str, Any],
    converter: str,
    settings_of: Path | None,
    given: Mapping[str, Any],
    free: Sequence[str],
) -> tuple[dict[str, Any], list[str]]:
    """Return the settings under which frames are shown, and notes on them."""
    found = _on_record(training, settings_of, converter)
    chosen = agree(found, given, fixed=LOOK)
    notes = [] if found else ["the checkpoint does not say how frames were shown; they are shown as the options say"]
    return chosen | {name: given[name] for name in free if name in given}, notes


def _on_record(training: Mapping[str, Any], settings_of: Path | None, converter: str) -> list[Mapping[str, Any]]:
    """Return the settings that a data set was made with, else those that a checkpoint was trained with.

    Both converters show frames of nuScenes: where a model was trained on the other one's, that is how it knows them.
    """
    if settings_of is not None:
        return settings_of_dataset(settings_of, converter)
    other = {"nuscenes": "drivelm", "drivelm": "nuscenes"}[converter]
    return settings_of_training(training, converter) or settings_of_training(training, other)


def _frames(source: Path, index: SceneIndex, names: Sequence[str]) -> Iterator[tuple[str, Frame]]:
    """Yield the key frames of scenes, each with its scene's name."""
    known = {summary.name for summary in index.summaries}
    if unknown := sorted(set(names) - known):
        raise UsageError(
            "Cannot find a scene",
            where=source,
            rule=f"the tables have no {', '.join(unknown[:_FIRST])}",
            action=f"There are {len(known)}: {', '.join(sorted(known)[:_FIRST])} ...",
        )
    for summary in index.summaries:
        if not names or summary.name in names:
            scene = read_scene(index.path, summary.token, summary.content_sha256)
            yield from ((scene.name, frame) for frame in scene.frames)


@dataclass(frozen=True)
class _Shown:
    """What a sample shows.

    Attributes:
        scene: Name of the scene.
        frame: The key frame.
        shots: The camera images, in the order of the views.
        is_stitched: Whether they are one image.
    """

    scene: str
    frame: Frame
    shots: tuple[Shot, ...]
    is_stitched: bool


class _Asking:
    """Asks about key frames."""

    def __init__(
        self, source: Path, stitched: bool, draw_labels: bool, views: tuple[str, ...], wanted: FramePrediction
    ) -> None:
        self._source = source
        self._stitched = stitched and len(views) > 1
        self._draw_labels = draw_labels
        self.views = views
        alone = [asked for asked in wanted.questions if wanted.each_view or asked.task in _ONE_VIEW]
        self._alone = alone
        self._together = [asked for asked in wanted.questions if asked not in alone]
        self.left_out: list[tuple[str, str]] = []
        self.unread: Counter[str] = Counter()
        self.boxes = 0

    def answer(self, frames: Sequence[tuple[str, Frame]], model: Model) -> list[str]:
        """Ask about some key frames, and return one line of JSON an answer."""
        with TemporaryDirectory(prefix="domainvl-") as folder:
            pictures = Pictures(self._source, ImageStore(Path(folder)))
            shown: list[_Shown] = []
            samples: list[Sample] = []
            for scene, frame in frames:
                try:
                    made = list(self._samples(scene, frame, pictures))
                except ItemError as error:
                    self.left_out.append((error.reason, f"{frame_name(scene, frame.index)}: {error}"))
                    continue
                shown += [what for what, _ in made]
                samples += [sample for _, sample in made]
            answers = model.answer(samples, Path(folder))
        return [self._line(*one) for one in zip(shown, samples, answers, strict=True)]

    def _samples(self, scene: str, frame: Frame, pictures: Pictures) -> Iterator[tuple[_Shown, Sample]]:
        shots = complete_shots(frame, self.views)
        check_images(pictures, shots)
        name = frame_name(scene, frame.index)
        if self._together:
            what = _Shown(scene, frame, shots, self._stitched)
            yield from ((what, sample) for sample in self._ask_together(name, shots, pictures))
        for shot in shots if self._alone else ():
            what = _Shown(scene, frame, (shot,), False)
            samples = self._ask(self._alone, f"{name}/{shot.view}", [pictures.of(shot)], _preface(self._alone, shot))
            yield from ((what, sample) for sample in samples)

    def _ask_together(self, name: str, shots: Sequence[Shot], pictures: Pictures) -> list[Sample]:
        """Ask about all views: as the converter does, it is said which is where unless each has a name."""
        if self._stitched:
            images = [pictures.stitched(shots, labels=self._draw_labels)]
        else:
            images = [pictures.of(shot) for shot in shots]
        preface = views_note(Canvas.stitched(self.views)) if len(images) == 1 else None
        return self._ask(self._together, name, images, preface)

    @staticmethod
    def _ask(questions: Sequence[Asked], name: str, images: Sequence[Image], preface: str | None) -> list[Sample]:
        return samples_to_ask(questions, name=name, domain=DOMAIN, images=images, preface=preface)

    def _line(self, shown: _Shown, sample: Sample, answer: GeneratedAnswer) -> str:
        boxes, unread = _read(sample, answer.text, shown.shots[0])
        self.boxes += len(boxes)
        if unread is not None:
            self.unread[unread] += 1
        content = {
            "scene": shown.scene,
            "frame": shown.frame.index,
            "sample_token": shown.frame.token,
            "timestamp_us": shown.frame.timestamp_us,
            "images": [
                {
                    "channel": channel_of(shot.view),
                    "sample_data_token": shot.token,
                    "filename": shot.filename,
                    "size_px": [shot.width_px, shot.height_px],
                }
                for shot in shown.shots
            ],
            "is_stitched": shown.is_stitched,
            "task": sample.task.value,
            "question": sample.question,
            "answer": answer.text,
            "likelihood": round(answer.likelihood, LIKELIHOOD_DECIMALS),
            "boxes": boxes,
            "unread": unread,
            "cut_off": answer.cut_off,
        }
        return json.dumps(content, ensure_ascii=False) + "\n"


def _preface(questions: Sequence[Asked], shot: Shot) -> str | None:
    """Say which view is shown alone where more is asked than the converter asks of one."""
    return None if all(asked.task in _ONE_VIEW for asked in questions) else view_note(shot.view)


def _read(sample: Sample, text: str, shot: Shot) -> tuple[list[dict[str, Any]], str | None]:
    """Read the boxes of an answer about one view, in pixels of its own image; and why there are none."""
    if sample.task not in BOX_TASKS:
        return [], None if text.strip() else "empty"
    size_px = (shot.width_px, shot.height_px)
    placed, unread = place_found(sample.task, sample.question, text, lambda box: to_box_px(box, *size_px), size_px)
    return [{"channel": channel_of(shot.view), "label": label, "box_px": list(box)} for label, box in placed], unread


@dataclass(frozen=True)
class DriveLmPrediction:
    """How the questions of DriveLM are answered.

    Attributes:
        split: Which samples of the data set.
        given: Settings of the converter that the user gave, by name; for a file of questions only.
        settings_of: Data set whose settings count in place of the checkpoint's.
        about: Who submits, as ``domainvl answers`` takes it.
        overwrite: Replace a folder of answers that is there.
    """

    split: Split = Split.TEST
    given: Mapping[str, Any] = field(default_factory=dict)
    settings_of: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False


def predict_drivelm(
    source: Path, out: Path, model: Model, wanted: DriveLmPrediction, on_progress: Progress | None = None
) -> tuple[AnswersSummary, list[str]]:
    """Answer the questions of DriveLM, and write ``output.json`` and ``submission.json`` of its challenge.

    Args:
        source: A data set of ``domainvl convert drivelm``, or a file of questions, which is converted for the occasion
            as the model was trained; scenes without answers are asked about.
        out: Folder to make. The answers with their likelihoods lie in it too, as :data:`PREDICTIONS_NAME`.
        model: Answers.
        wanted: How they are answered.
        on_progress: Told how many answers there are and will be.

    Returns:
        What was written, and notes on how the frames were shown.

    Raises:
        InputNotFoundError: If there is no such file or folder.
        UsageError: If something that is given is wrong, or the data set shows frames in another way.
        NothingToDoError: If there is no question.
    """
    if not source.exists():
        raise InputNotFoundError("Cannot read DriveLM", where=source, rule="there is no such file or folder")
    if (source / MANIFEST_NAME).is_file():
        notes = _check_dataset(source, model, wanted)
        return _answer_dataset(source, out, model, wanted, on_progress), notes
    settings, notes = _settings(model.training, "drivelm", wanted.settings_of, wanted.given, CHOICE_OF_DRIVELM)
    settings.setdefault("questions_only", "placeholder")
    with TemporaryDirectory(prefix="domainvl-") as folder:
        dataset = Path(folder) / "drivelm"
        convert(DRIVELM, source, dataset, DriveLmSettings(**settings), run=RunSettings())
        return _answer_dataset(dataset, out, model, wanted, on_progress), notes


def _check_dataset(source: Path, model: Model, wanted: DriveLmPrediction) -> list[str]:
    """Refuse a data set that shows frames in another way than the model was trained on."""
    if wanted.given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(wanted.given))
        raise UsageError("Cannot use options of a conversion", rule=f"{names}: {source} is a data set already")
    own = settings_of_dataset(source, "drivelm")
    given = {name: own[0][name] for name in LOOK if name in own[0]}
    trained = _on_record(model.training, wanted.settings_of, "drivelm")
    agree(trained, given, fixed=LOOK)
    return [] if trained else ["the checkpoint does not say how frames were shown; they are as in the data set"]


def _answer_dataset(
    dataset: Path, out: Path, model: Model, wanted: DriveLmPrediction, on_progress: Progress | None
) -> AnswersSummary:
    read_manifest(dataset)
    samples = list(read_samples(dataset, wanted.split))
    if not samples:
        raise NothingToDoError(
            "There is no question to answer",
            where=dataset.name,
            rule=f"the split {wanted.split} has no samples",
            action="Name another --split",
        )
    answers = model.answer(samples, dataset, on_progress)
    summary = write_answers(
        dataset,
        out,
        split=wanted.split,
        predictions={answer.sample_id: answer.text for answer in answers},
        read_choice=read_choice,
        about=wanted.about,
        overwrite=wanted.overwrite,
    )
    write_predictions(out / PREDICTIONS_NAME, map(_prediction, answers))
    return summary


def _prediction(answer: GeneratedAnswer) -> Prediction:
    return Prediction(
        sample_id=answer.sample_id,
        text=answer.text,
        likelihood=round(answer.likelihood, LIKELIHOOD_DECIMALS),
        token_count=answer.token_count,
        cut_off=answer.cut_off,
    )
