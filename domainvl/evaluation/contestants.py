"""Who takes part in an evaluation: what the user names becomes systems that answer or have answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domainvl.endpoint import EndpointSettings
from domainvl.errors import CheckpointError, UsageError
from domainvl.evaluation.answer_files import read_answer_file
from domainvl.evaluation.generating.answerer import Answerer
from domainvl.evaluation.generating.checkpoint import CheckpointAnswerer, CheckpointSettings, on_device
from domainvl.evaluation.generating.devices import SeveralDevices
from domainvl.evaluation.generating.endpoint import EndpointAnswerer
from domainvl.evaluation.generating.options import Options
from domainvl.evaluation.generating.specialist import SpecialistAnswerer
from domainvl.evaluation.leakage import TrainedOn, read_trained_on
from domainvl.evaluation.predictions import PREDICTIONS_NAME, Prediction
from domainvl.evaluation.results import System, SystemKind
from domainvl.evaluation.specialists.majority import majority_predictions
from domainvl.evaluation.specialists.run import check_specialist
from domainvl.files import hash_file
from domainvl.model.checkpoint import CheckpointSpec, find_checkpoint, hash_weights, read_spec
from domainvl.model.preprocessing import Preprocessing
from domainvl.schema import BoxesAnswer, Sample, Split, read_samples

ADAPTED, BASE, MAJORITY, BLANK, SERVER = "adapted", "base", "majority", "blank images", "server"

MAJORITY_OF = "training split"
"""What of the majority answer says whose it is: the hash of the training split."""

OUR_COORDINATES = "0-1000"

_BLIND = frozenset({"language-only", "majority"})
"""Kinds of specialists that do not look: they show the bias of the questions, and nobody uses them."""

_EXAMPLES = 3


@dataclass(frozen=True)
class Contestants:
    """What the user names.

    Attributes:
        model: The checkpoint that the verdict is about.
        base: The checkpoint that it is compared with; an adapter's own base where None.
        endpoint: A server that answers; the verdict is about it where there is no model.
        specialists: Folders of specialists that were trained here, by the names they get.
        predictions: Files of answers of any system, by name.
        pretraining: What systems of such files started from, by name.
        answer_format: Format of these files.
        baselines: Whether the majority answer and blank images take part.
        training_data: Data set whose training split gives the majority answers; the one that is scored where None.
    """

    model: str | None = None
    base: str | None = None
    endpoint: EndpointSettings | None = None
    specialists: Mapping[str, Path] = field(default_factory=dict)
    predictions: Mapping[str, Path] = field(default_factory=dict)
    pretraining: Mapping[str, str] = field(default_factory=dict)
    answer_format: str = "auto"
    baselines: bool = True
    training_data: Path | None = None


@dataclass(frozen=True)
class Asking:
    """How questions are asked.

    Attributes:
        split: Which part of the data set.
        devices: Where models run.
        batch_size: Samples at a time.
        max_new_tokens: Longest answer.
        max_tiles: Most tiles a sample; the checkpoint's where None.
        measure: Whether the time at batch 1 is measured.
    """

    split: Split = Split.TEST
    devices: tuple[str, ...] = ("auto",)
    batch_size: int = 32
    max_new_tokens: int = 64
    max_tiles: int | None = None
    measure: bool = True


def _nobody(_: Options) -> Answerer:
    raise UsageError("Cannot answer", rule="the answers of this system are there already")


@dataclass(frozen=True)
class Contestant:
    """One that takes part.

    Attributes:
        system: What it is.
        given: Its answers, where they are there already.
        make: Makes what answers, given which options samples have.
        preprocessing: How it sees images, where that is known.
        trained_on: What it was trained on, where that is known.
        is_unchecked: Whether it was trained on something that is not known.
    """

    system: System
    given: Sequence[Prediction] | None = None
    make: Callable[[Options], Answerer] = _nobody
    preprocessing: Preprocessing | None = None
    trained_on: TrainedOn | None = None
    is_unchecked: bool = False


def line_up(
    wanted: Contestants, dataset: Path, samples: Sequence[Sample], asking: Asking, *, split: Sequence[Sample] = ()
) -> list[Contestant]:
    """Return who takes part, the one that the verdict is about first.

    Model, base and blank images see the same pixels: by the preprocessing saved with the model.

    Args:
        wanted: What the user names.
        dataset: The data set's folder.
        samples: What is asked.
        asking: How.
        split: All samples of the split, about which files of answers may be too; ``samples`` where empty.

    Raises:
        UsageError: If nobody is named, or two have one name.
        CheckpointError: If a checkpoint is missing, or does not fit the samples.
        DatasetError: If a file of answers does not fit the samples.
    """
    unknown = sorted(set(wanted.pretraining) - set(wanted.predictions))
    if unknown:
        raise UsageError(
            "Cannot tell what a system started from",
            rule=f"--pretraining must name files of --predictions, got {', '.join(unknown)}",
            action=f"Name one of {', '.join(wanted.predictions)}" if wanted.predictions else "Leave it out",
        )
    found: list[Contestant] = []
    if wanted.model is not None:
        found += _checkpoints(wanted.model, wanted, dataset, samples, asking)
    if wanted.endpoint is not None:
        found.append(_server(wanted.endpoint, dataset, asking))
    found += [_from_file(name, path, wanted, split or samples) for name, path in wanted.predictions.items()]
    found += [_specialist(name, path, dataset, samples, asking) for name, path in wanted.specialists.items()]
    if not found:
        raise UsageError(
            "Nobody to evaluate",
            rule="there must be a model, a server, a specialist or a file of answers",
            action="Give --model, --endpoint, --specialist or --predictions",
        )
    train = (wanted.training_data or dataset) / f"{Split.TRAIN.value}.jsonl"
    if wanted.baselines and (wanted.training_data is not None or train.is_file()):  # a test set alone has none
        system = System(name=MAJORITY, kind="baseline", predictions="", about={MAJORITY_OF: hash_file(train)})
        found.append(Contestant(system, given=majority_predictions(read_samples(train.parent, Split.TRAIN), samples)))
    return _with_files(found)


def slug(name: str) -> str:
    """Return a name as part of a file's name."""
    return "".join(character if character.isalnum() or character in "._" else "-" for character in name.lower())


def _with_files(found: Sequence[Contestant]) -> list[Contestant]:
    """Give each its file of predictions; what has no name of its own cannot have one."""
    slugs = [slug(one.system.name) for one in found]
    names = [PREDICTIONS_NAME, *(f"predictions-{name}.jsonl" for name in slugs[1:])]
    if len(set(slugs)) < len(slugs) or not all(slugs):
        raise UsageError(
            "Cannot tell systems apart",
            rule="each needs a name, and names must differ by more than case and punctuation, got "
            f"{[one.system.name for one in found]}",
            action="Name files and folders with NAME=PATH",
        )
    return [
        Contestant(
            one.system.model_copy(update={"predictions": name}),
            one.given,
            one.make,
            one.preprocessing,
            one.trained_on,
            one.is_unchecked,
        )
        for one, name in zip(found, names, strict=True)
    ]


def _checkpoints(
    model: str, wanted: Contestants, dataset: Path, samples: Sequence[Sample], asking: Asking
) -> list[Contestant]:
    spec = read_spec(find_checkpoint(model))
    check_fit(spec, samples, model)
    preprocessing = spec.preprocessing.limited_to(asking.max_tiles or spec.preprocessing.max_tiles)
    base = wanted.base or (spec.base.name if spec.base else None)

    def contestant(name: str, kind: SystemKind, reference: str, *, blank: bool = False) -> Contestant:
        folder = find_checkpoint(reference)
        settings = CheckpointSettings(
            reference,
            dataset,
            preprocessing,
            batch_size=asking.batch_size,
            max_new_tokens=asking.max_new_tokens,
            blank_images=blank,
            measure=asking.measure and not blank,
        )
        trained_on = None if blank else read_trained_on(folder)
        return Contestant(
            System(name=name, kind=kind, predictions="", about=_about(reference, folder, blank=blank)),
            make=lambda options: make_answerer(settings, options, asking.devices),
            preprocessing=preprocessing,
            trained_on=trained_on,
            is_unchecked=kind == "adapted" and trained_on is None,
        )

    found = [contestant(ADAPTED, "adapted", model)]
    if base is not None:
        found.append(contestant(BASE, "base", base))
    if wanted.baselines:
        found.append(contestant(BLANK, "baseline", model, blank=True))
    return found


def make_answerer(settings: CheckpointSettings, options: Options, devices: Sequence[str]) -> Answerer:
    """Make what answers, on one device or several."""
    if len(devices) > 1:
        return SeveralDevices(settings, options, devices)
    return CheckpointAnswerer(on_device(settings, devices[0]), options)


def _about(reference: str, folder: Path, *, blank: bool) -> dict[str, str]:
    spec = read_spec(folder)
    about = {"checkpoint": reference, "weights": hash_weights(folder)}
    if blank:
        about["of"] = ADAPTED
    for name in ("recipe", "method"):
        if name in spec.training:
            about[name] = str(spec.training[name])
    return about


def check_fit(spec: CheckpointSpec, samples: Sequence[Sample], model: str) -> None:
    """Refuse a model that was taught another wording or another space of coordinates than the data set has.

    Raises:
        CheckpointError: With the counts and the first examples.
    """
    trained = spec.preprocessing.wording
    others = [sample for sample in samples if sample.provenance.wording != trained]
    if others:
        asked = ", ".join(sorted({sample.provenance.wording for sample in others}))
        raise CheckpointError(
            "Cannot evaluate",
            where=model,
            rule=f"the data set must be worded as the model was trained, {trained}; got {asked} in {len(others)} of "
            f"{len(samples)} samples ({_examples(others)})",
            action="Make the data set again with this version of domainvl",
        )
    boxes = [sample for sample in samples if isinstance(sample.answer, BoxesAnswer)]
    if boxes and spec.preprocessing.coordinate_space != OUR_COORDINATES:
        raise CheckpointError(
            "Cannot evaluate",
            where=model,
            rule=f"the model writes boxes in {spec.preprocessing.coordinate_space}, the data set in {OUR_COORDINATES}: "
            f"{len(boxes)} of {len(samples)} samples ask for boxes ({_examples(boxes)})",
            action="Train the model on this data set, or leave samples with boxes out",
        )


def _examples(samples: Sequence[Sample]) -> str:
    return ", ".join(sample.id for sample in samples[:_EXAMPLES]) + (", ..." if len(samples) > _EXAMPLES else "")


def _server(endpoint: EndpointSettings, dataset: Path, asking: Asking) -> Contestant:
    about = {"endpoint": endpoint.url, "model": endpoint.model}
    return Contestant(
        System(name=SERVER, kind="other", predictions="", about=about),
        make=lambda _: EndpointAnswerer(endpoint, dataset, asking.max_new_tokens),
        is_unchecked=True,
    )


def _from_file(name: str, path: Path, wanted: Contestants, samples: Sequence[Sample]) -> Contestant:
    pretraining = wanted.pretraining.get(name)
    kind: SystemKind = "specialist" if pretraining is not None else "other"
    return Contestant(
        System(name=name, kind=kind, predictions="", pretraining=pretraining, about={"answers": path.name}),
        given=read_answer_file(path, wanted.answer_format, samples),
        is_unchecked=True,
    )


def _specialist(name: str, path: Path, dataset: Path, samples: Sequence[Sample], asking: Asking) -> Contestant:
    spec = check_specialist(path, samples)
    is_baseline = spec.kind in _BLIND
    trained_on = read_trained_on(path)
    return Contestant(
        System(
            name=name,
            kind="baseline" if is_baseline else "specialist",
            predictions="",
            pretraining=None if is_baseline else spec.pretraining,
            about={"kind": spec.kind, "folder": str(path), "trained on": spec.training.data, "of": name},
        ),
        make=lambda _: SpecialistAnswerer(path, dataset, device=asking.devices[0], batch_size=asking.batch_size),
        trained_on=trained_on,
        is_unchecked=trained_on is None,
    )
