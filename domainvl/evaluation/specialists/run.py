"""``domainvl specialist``: trains a specialist on a data set, keeps it in a folder, and answers a split with it."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from domainvl.errors import CheckpointError, InputNotFoundError, NothingToDoError, OutputError, UsageError
from domainvl.evaluation.predictions import Prediction, write_predictions
from domainvl.evaluation.specialists.answer_list import AnswerList
from domainvl.evaluation.specialists.classifier import IMAGENET_EFFICIENTNET_LITE0, Classifier
from domainvl.evaluation.specialists.detector import Detector
from domainvl.evaluation.specialists.language_only import LanguageOnly
from domainvl.evaluation.specialists.majority import majority_predictions
from domainvl.evaluation.specialists.specialist import (
    CannotAnswerError,
    Kind,
    Specialist,
    SpecialistSpec,
    TaskCount,
    Training,
)
from domainvl.evaluation.specialists.training_loop import LoopSettings, OnProgress, answer_all, calibrate, fit
from domainvl.evaluation.specialists.vqa import AnswerClassifier
from domainvl.files import check_target, complete_folder, hash_file, output_errors, write_atomically
from domainvl.model.device import choose_device
from domainvl.model.trained_on import trained_on, write_trained_on
from domainvl.schema.reader import SampleFile, read_manifest, read_samples
from domainvl.schema.sample import Sample, Split

if TYPE_CHECKING:
    import torch

SPEC_NAME = "specialist.json"
WEIGHTS_NAME = "model.safetensors"

_TRAIN_NAME = "train.jsonl"
_RETRAIN = "Make it again with domainvl specialist train"
_PREDICT_BATCH = 32


@dataclass(frozen=True)
class TrainOptions:
    """How a specialist is trained; what is None is the kind's own.

    Attributes:
        weights: What to start from: a folder of transformers, or a classifier's ``imagenet-efficientnet-lite0``; random
            weights where None.
        seed: Of weights and order.
        epochs: Most epochs.
        minutes: Longest time, whatever the epochs.
        batch_size: Samples a step.
        learning_rate: Largest.
        image_px: Side of the square that it sees.
        most_answers: Largest number of answers that it knows.
        device: Where it is trained.
    """

    weights: str | None = None
    seed: int = 0
    epochs: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    image_px: int | None = None
    most_answers: int = 1000
    device: str = "auto"


@dataclass(frozen=True)
class _Defaults:
    epochs: int
    batch_size: int
    learning_rate: float
    tuning_rate: float
    """Learning rate where it does not start from random weights."""
    image_px: int = 0
    image_multiple_px: int = 1


_DEFAULTS: Mapping[Kind, _Defaults] = {
    "classifier": _Defaults(epochs=20, batch_size=16, learning_rate=2e-3, tuning_rate=3e-4, image_px=224),
    "vqa": _Defaults(epochs=20, batch_size=32, learning_rate=1e-3, tuning_rate=5e-5, image_px=224),
    "detector": _Defaults(
        epochs=50, batch_size=8, learning_rate=1e-3, tuning_rate=1e-4, image_px=320, image_multiple_px=32
    ),
    "language-only": _Defaults(epochs=20, batch_size=32, learning_rate=2e-2, tuning_rate=2e-2),
    "majority": _Defaults(epochs=0, batch_size=1, learning_rate=0.0, tuning_rate=0.0),
}


@dataclass(frozen=True)
class PredictSummary:
    """What was answered.

    Attributes:
        answered: Number of answers.
        empty: Number of samples that it cannot answer, by reason.
        spec: Of the specialist.
    """

    answered: int
    empty: dict[str, int]
    spec: SpecialistSpec


def train_specialist(
    kind: Kind,
    dataset: Path,
    out: Path,
    options: TrainOptions | None = None,
    *,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> SpecialistSpec:
    """Train a specialist on the training split of a data set and keep it in a folder.

    The epoch is chosen on the validation split where there is one. Equal options on the same machine give equal files,
    unless ``minutes`` ends the training.

    Args:
        kind: What to train.
        dataset: The data set's folder.
        out: Folder to make: specialist.json, and model.safetensors or for ``majority`` the training samples.
        options: How.
        overwrite: Replace a specialist that is there.
        on_progress: Told how far it is.

    Raises:
        UsageError: If an option does not fit or ``out`` is taken.
        CheckpointError: If the weights to start from cannot be used.
        NothingToDoError: If no training sample is of use, with the reasons.
    """
    options = options or TrainOptions()
    check_target(out, marker=SPEC_NAME, overwrite=overwrite)
    _check_options(kind, options)
    samples = SampleFile(dataset, Split.TRAIN)
    training = Training(
        data=str(read_manifest(dataset).get("name", dataset.name)),
        train_sha256=hash_file(dataset / _TRAIN_NAME),
        samples=len(samples),
        used=len(samples),
        left_out={},
        tasks=_count_tasks(samples),
        seed=options.seed,
    )
    if not len(samples):
        raise NothingToDoError("Cannot train a specialist", where=dataset, rule=f"{_TRAIN_NAME} is empty")
    if kind == "majority":
        with complete_folder(out) as work:
            shutil.copyfile(dataset / _TRAIN_NAME, work / _TRAIN_NAME)
            spec = SpecialistSpec(kind=kind, training=training)
            write_trained_on(work, trained_on(samples))
            _write_spec(work, spec)
        return spec
    with _seeded(options.seed):
        return _train_network(kind, dataset, out, options, samples, training, on_progress)


def predict_with_specialist(
    folder: Path,
    dataset: Path,
    split: Split,
    out: Path,
    *,
    batch_size: int = _PREDICT_BATCH,
    device: str = "auto",
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> PredictSummary:
    """Answer a split of a data set and write the answers as ``domainvl eval`` reads them.

    Args:
        folder: Of the specialist.
        dataset: The data set's folder.
        split: Which split.
        out: File to write; one line a sample, of those that it cannot answer an empty one.
        batch_size: Samples at a time.
        device: Where it runs.
        overwrite: Replace a file that is there.
        on_progress: Told how far it is.

    Raises:
        UsageError: If ``out`` is taken.
        CheckpointError: If the folder holds no specialist, or one that was trained for other domains or tasks than
            those of the split, with counts.
        NothingToDoError: If the split is empty.
    """
    if out.exists() and not overwrite:
        raise UsageError("Cannot write", where=out, rule="it exists", action="Name another, or add --overwrite")
    samples = list(read_samples(dataset, split))
    if not samples:
        raise NothingToDoError("Cannot answer", where=dataset, rule=f"{split.value}.jsonl is empty")
    predictions, empty = answer_samples(
        folder, dataset, samples, batch_size=batch_size, device=device, on_progress=on_progress
    )
    _write(out, predictions)
    return PredictSummary(len(samples) - sum(empty.values()), empty, read_spec(folder))


def answer_samples(
    folder: Path,
    dataset: Path,
    samples: Sequence[Sample],
    *,
    batch_size: int = _PREDICT_BATCH,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> tuple[list[Prediction], dict[str, int]]:
    """Answer samples with a specialist.

    Args:
        folder: Of the specialist.
        dataset: Folder of the data set whose samples these are.
        samples: The samples.
        batch_size: Samples at a time.
        device: Where it runs.
        on_progress: Told how far it is.

    Returns:
        One prediction a sample, in their order, and the number of empty ones by reason.

    Raises:
        CheckpointError: If the folder holds no specialist, or one that was trained for other domains or tasks than
            those of the samples, with counts.
    """
    spec = check_specialist(folder, samples)
    if spec.kind == "majority":
        predictions = majority_predictions(read_samples(folder, Split.TRAIN), samples)
        blank = sum(not prediction.text for prediction in predictions)
        return predictions, {"the task was not trained": blank} if blank else {}
    specialist = load_specialist(folder, dataset, choose_device(device))
    with _seeded(spec.training.seed):  # ViLT draws the order of its patches
        return answer_all(specialist, samples, batch_size, on_progress)


def read_spec(folder: Path) -> SpecialistSpec:
    """Read what a specialist is.

    Raises:
        InputNotFoundError: If the folder holds none.
        CheckpointError: If its specialist.json is broken.
    """
    path = folder / SPEC_NAME
    if not path.is_file():
        rule = f"{SPEC_NAME} is missing" if folder.is_dir() else "there is no such folder"
        raise InputNotFoundError("Cannot read a specialist", where=folder, rule=rule, action=_RETRAIN)
    try:
        return SpecialistSpec.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        rule = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise CheckpointError("Cannot read a specialist", where=path, rule=rule, action=_RETRAIN) from error


def load_specialist(folder: Path, dataset: Path, device: torch.device) -> Specialist[Any]:
    """Load a specialist that has a network.

    Args:
        folder: Of the specialist.
        dataset: Folder of the data set whose images it is to read.
        device: Where it is to run.

    Raises:
        InputNotFoundError: If the folder holds none.
        CheckpointError: If a file is broken or missing.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    spec = read_spec(folder)
    view: dict[str, Any] = {"image_px": spec.image_px, "pretraining": spec.pretraining}
    details: dict[str, Any] = spec.details
    specialist: Specialist[Any]
    try:
        match spec.kind:
            case "classifier":
                specialist = Classifier.of_details(details, dataset, **view)
            case "vqa":
                specialist = AnswerClassifier.of_details(details, folder, dataset, **view)
            case "detector":
                specialist = Detector.of_details(details, dataset, **view)
            case "language-only":
                specialist = LanguageOnly.of_details(details)
            case "majority":
                raise ValueError("the majority answer has no network")
        load_model(specialist.module, folder / WEIGHTS_NAME)
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        rule = str(error).strip().splitlines()[0]
        raise CheckpointError("Cannot load a specialist", where=folder, rule=rule, action=_RETRAIN) from error
    specialist.module.to(device)
    return specialist


def _train_network(
    kind: Kind,
    dataset: Path,
    out: Path,
    options: TrainOptions,
    samples: SampleFile,
    training: Training,
    on_progress: OnProgress | None,
) -> SpecialistSpec:
    defaults = _DEFAULTS[kind]
    settings = LoopSettings(
        epochs=options.epochs or defaults.epochs,
        minutes=options.minutes,
        batch_size=options.batch_size or defaults.batch_size,
        learning_rate=options.learning_rate or (defaults.tuning_rate if options.weights else defaults.learning_rate),
        seed=options.seed,
    )
    device = choose_device(options.device)
    specialist = _start(kind, dataset, options, samples)
    examples, left_out = specialist.training_examples(samples)
    if not examples:
        raise NothingToDoError(
            f"Cannot train a {kind}", where=dataset, rule=f"no training sample is of use: {counted(left_out)}"
        )
    specialist.module.to(device)
    tasks = _count_tasks(sample for sample in samples if _can_answer(specialist, sample))
    validation = _validation_samples(dataset, tasks)
    fitted = fit(specialist, examples, validation, settings, on_progress)
    calibrate(specialist, validation or samples, settings.batch_size)
    trained = training.model_copy(
        update={
            "used": len(samples) - sum(left_out.values()),
            "left_out": dict(sorted(left_out.items())),
            "tasks": tasks,
            "epochs": fitted.epochs,
            "best_epoch": fitted.best_epoch,
            "validation_score": fitted.validation_score,
            "validation_samples": len(validation),
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
        }
    )
    spec = SpecialistSpec(
        kind=kind,
        pretraining=specialist.pretraining,
        image_px=specialist.image_px,
        details=specialist.details(),
        training=trained,
    )
    _save(specialist, spec, samples, out)
    return spec


def _start(kind: Kind, dataset: Path, options: TrainOptions, samples: Sequence[Sample]) -> Specialist[Any]:
    image_px = options.image_px or _DEFAULTS[kind].image_px
    if kind == "detector":
        return Detector.start(samples, dataset, weights=options.weights, image_px=image_px)
    answers = AnswerList.learn(samples, by="question" if kind == "classifier" else "task", most=options.most_answers)
    if not answers.answers:
        raise NothingToDoError(
            f"Cannot train a {kind}",
            where=dataset,
            rule="no training sample has an answer of a closed set"
            + (" to a question that is asked often" if kind == "classifier" else ""),
        )
    if kind == "classifier":
        return Classifier.start(answers, dataset, weights=options.weights, image_px=image_px)
    if kind == "vqa":
        return AnswerClassifier.start(answers, samples, dataset, weights=options.weights, image_px=image_px)
    return LanguageOnly.learn(samples, answers)


def _check_options(kind: Kind, options: TrainOptions) -> None:
    defaults = _DEFAULTS[kind]
    sees = defaults.image_px > 0
    if options.weights and not sees:
        raise UsageError(f"Cannot train {kind}", rule="it starts from no weights", action="Leave --from out")
    if options.weights == IMAGENET_EFFICIENTNET_LITE0 and kind != "classifier":
        raise UsageError(f"Cannot train a {kind}", rule=f"only a classifier starts from {options.weights}")
    if options.image_px and not sees:
        raise UsageError(f"Cannot train {kind}", rule="it sees no images", action="Leave --image-px out")
    if options.image_px and options.image_px % defaults.image_multiple_px:
        rule = f"--image-px must be a multiple of {defaults.image_multiple_px}, got {options.image_px}"
        raise UsageError(f"Cannot train a {kind}", rule=rule)


def _can_answer(specialist: Specialist[Any], sample: Sample) -> bool:
    try:
        specialist.check(sample)
    except CannotAnswerError:
        return False
    return True


def _validation_samples(dataset: Path, tasks: Sequence[TaskCount]) -> list[Sample]:
    """Return the validation samples of the tasks that are trained; none where there is no such file."""
    if not (dataset / f"{Split.VAL.value}.jsonl").is_file():
        return []
    trained = {(task.domain, task.task) for task in tasks}
    return [sample for sample in read_samples(dataset, Split.VAL) if (sample.domain, sample.task.value) in trained]


def _count_tasks(samples: Iterable[Sample]) -> tuple[TaskCount, ...]:
    counts = Counter((sample.domain, sample.task.value) for sample in samples)
    return tuple(TaskCount(domain=domain, task=task, samples=n) for (domain, task), n in sorted(counts.items()))


def check_specialist(folder: Path, samples: Sequence[Sample]) -> SpecialistSpec:
    """Read what a specialist is, and refuse it if it can answer none of some samples.

    Raises:
        InputNotFoundError: If the folder holds none.
        CheckpointError: If it was trained for other domains or tasks, with counts.
    """
    spec = read_spec(folder)
    _check_tasks(spec, samples, folder)
    return spec


def _check_tasks(spec: SpecialistSpec, samples: Sequence[Sample], folder: Path) -> None:
    """Refuse a split of which no sample is of a domain and task that the specialist was trained for."""
    trained = {(task.domain, task.task): task.samples for task in spec.training.tasks}
    asked = Counter((sample.domain, sample.task.value) for sample in samples)
    if trained.keys().isdisjoint(asked):

        def listed(counts: Mapping[tuple[str, str], int]) -> str:
            return ", ".join(f"{domain} {task} ({n})" for (domain, task), n in sorted(counts.items()))

        raise CheckpointError(
            "Cannot answer",
            where=folder,
            rule=f"the specialist must have been trained for a task of the split; it was for {listed(trained)}, "
            f"the split has {listed(asked)}",
            action="Name a specialist of this domain, or train one with domainvl specialist train",
        )


def _save(specialist: Specialist[Any], spec: SpecialistSpec, samples: Sequence[Sample], out: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_model

    with complete_folder(out) as work:
        try:
            save_model(specialist.module.cpu(), str(work / WEIGHTS_NAME))
        except SafetensorError as error:  # a full disk has no error of its own there
            raise OutputError("Cannot write", where=work / WEIGHTS_NAME, rule=str(error)) from error
        specialist.save_further(work)
        write_trained_on(work, trained_on(samples))
        _write_spec(work, spec)


def _write_spec(folder: Path, spec: SpecialistSpec) -> None:
    write_atomically(folder / SPEC_NAME, (spec.model_dump_json(indent=1) + "\n").encode())


def _write(out: Path, predictions: Sequence[Prediction]) -> None:
    with output_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_predictions(out, predictions)


def counted(reasons: Mapping[str, int]) -> str:
    """Return how often each reason was given, the most frequent first."""
    return ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let torch draw from a seed; what it would have drawn after the block is not changed."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
