"""The comparison: a model beside its base, the majority answer and itself without images, on held-out samples."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.errors import CheckpointError, NothingToDoError, UsageError
from domainvl.evaluation.items import score_system
from domainvl.evaluation.predictions import PREDICTIONS_NAME, Prediction, write_predictions
from domainvl.evaluation.report import SCORES_NAME, Row, difference_rows, markdown_table, summarise, write_scores
from domainvl.evaluation.specialists.majority import majority_predictions
from domainvl.evaluation.statistics.bootstrap import BootstrapSettings
from domainvl.model.checkpoint import find_checkpoint, load_model, read_spec
from domainvl.model.device import choose_device, choose_precision
from domainvl.model.generation import generate_answers
from domainvl.model.preprocessing import TileReader
from domainvl.schema import Sample, SampleFile, Split, read_samples, spread

if TYPE_CHECKING:
    from domainvl.model.checkpoint import CheckpointSpec, LoadedModel

BASE, ADAPTED, MAJORITY, BLANK, GAIN = "base", "adapted", "majority", "blank images", "adapted - base"
SYSTEMS = (BASE, ADAPTED, MAJORITY, BLANK)
TABLE_NAME = "scores.md"

_CACHE_BYTES = 512 << 20

Progress = Callable[[str, int, int], None]
"""Called with the name of a system, the number of its answers so far and in all."""


@dataclass(frozen=True)
class EvaluationSettings:
    """How answers are generated and on what.

    Attributes:
        split: Which part of the data set.
        limit: Score only so many samples, evenly spread; all where None.
        batch_size: Samples at a time.
        max_new_tokens: Longest answer.
        device: Where the model runs; ``auto`` takes a GPU if there is one.
        bootstrap: How intervals are made.
    """

    split: Split = Split.TEST
    limit: int | None = None
    batch_size: int = 32
    max_new_tokens: int = 64
    device: str = "auto"
    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)

    @classmethod
    def from_options(
        cls, *, split: str, limit: int | None, batch_size: int, max_new_tokens: int, device: str
    ) -> EvaluationSettings:
        """Make settings from command line options.

        Raises:
            UsageError: If there is no such split.
        """
        if split not in list(Split):
            raise UsageError("Cannot evaluate", rule=f"--split must be train, val or test, got {split!r}")
        return cls(Split(split), limit, batch_size, max_new_tokens, device)


@dataclass(frozen=True)
class EvaluationSummary:
    """What came out of an evaluation.

    Attributes:
        rows: Rows by system, the paired difference of adapted and base among them.
        table: The same as a Markdown table.
    """

    rows: dict[str, list[Row]]
    table: str


def evaluate(
    model: str,
    dataset: Path,
    out: Path,
    *,
    base: str | None = None,
    training_data: Path | None = None,
    settings: EvaluationSettings | None = None,
    on_progress: Progress | None = None,
) -> EvaluationSummary:
    """Score a model on held-out samples and write scores, predictions and a table.

    Model and base see the same pixels: the preprocessing saved with the model is used for both.

    Args:
        model: The checkpoint to score.
        dataset: The data set's folder.
        out: Folder to make.
        base: The checkpoint to compare with; for an adapter its own base where None; otherwise there is none.
        training_data: The data set whose training split gives the majority answers; ``dataset`` where None.
        settings: How.
        on_progress: Told how far each system is.

    Raises:
        UsageError: If ``out`` is there already.
        CheckpointError: If a checkpoint cannot be used, or was trained with another wording than the data set's.
        NothingToDoError: If the split is empty.
    """
    settings = settings or EvaluationSettings()
    if out.exists():
        raise UsageError("Cannot evaluate", where=out, rule="the folder exists", action="Name another")
    samples = _take(SampleFile(dataset, settings.split), settings.limit)
    if not samples:
        raise NothingToDoError("Cannot evaluate", where=dataset, rule=f"{settings.split.value}.jsonl is empty")
    base = base or _own_base(model)
    predictions = _generate_all(model, base, dataset, samples, settings, on_progress)
    training = read_samples(training_data or dataset, Split.TRAIN)
    predictions[MAJORITY] = majority_predictions(training, samples)
    predictions = {system: predictions[system] for system in SYSTEMS if system in predictions}
    scores = {system: score_system(samples, answers) for system, answers in predictions.items()}
    rows = {system: summarise(items, settings.bootstrap) for system, items in scores.items()}
    if BASE in scores:
        rows[GAIN] = difference_rows(scores[ADAPTED], scores[BASE], settings.bootstrap)
    table = markdown_table(rows)
    _write(out, predictions, rows, table, settings)
    return EvaluationSummary(rows, table)


def _own_base(model: str) -> str | None:
    spec = read_spec(find_checkpoint(model))
    return spec.base.name if spec.base else None


def _take(samples: SampleFile, limit: int | None) -> list[Sample]:
    return [samples[index] for index in spread(len(samples), limit)]


def _generate_all(
    model: str,
    base: str | None,
    dataset: Path,
    samples: Sequence[Sample],
    settings: EvaluationSettings,
    on_progress: Progress | None,
) -> dict[str, list[Prediction]]:
    device = choose_device(settings.device)
    dtype = choose_precision("auto", device)
    spec = read_spec(find_checkpoint(model))
    _check_wording(spec, samples, model)
    reader = TileReader(dataset, spec.preprocessing, cache_bytes=_CACHE_BYTES)

    def answer(system: str, loaded: LoadedModel, *, blank_images: bool = False) -> list[Prediction]:
        answers = generate_answers(
            loaded,
            samples,
            reader,
            batch_size=settings.batch_size,
            max_new_tokens=settings.max_new_tokens,
            blank_images=blank_images,
            on_progress=(lambda done, total: on_progress(system, done, total)) if on_progress else None,
        )
        by_id = {
            answer.sample_id: Prediction(sample_id=answer.sample_id, text=answer.text, likelihood=answer.likelihood)
            for answer in answers
        }
        return [by_id[sample.id] for sample in samples]

    predictions: dict[str, list[Prediction]] = {}
    if base is not None:
        other = load_model(base, device=device, dtype=dtype)
        other.spec = other.spec.model_copy(update={"preprocessing": spec.preprocessing})
        predictions[BASE] = answer(BASE, other)
        del other  # the two models are never in memory together
    adapted = load_model(model, device=device, dtype=dtype)
    predictions[ADAPTED] = answer(ADAPTED, adapted)
    predictions[BLANK] = answer(BLANK, adapted, blank_images=True)
    return predictions


def _check_wording(spec: CheckpointSpec, samples: Sequence[Sample], model: str) -> None:
    asked = {sample.provenance.wording for sample in samples}
    trained = spec.preprocessing.wording
    if asked != {trained}:
        raise CheckpointError(
            "Cannot evaluate",
            where=model,
            rule=f"the data set must be worded as the model was trained, {trained}; got {', '.join(sorted(asked))}",
            action="Make the data set again with this version of domainvl",
        )


def _write(
    out: Path,
    predictions: dict[str, list[Prediction]],
    rows: dict[str, list[Row]],
    table: str,
    settings: EvaluationSettings,
) -> None:
    work = out.with_name(f".{out.name}.partial")
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    for system, answers in predictions.items():
        name = PREDICTIONS_NAME if system == ADAPTED else f"predictions-{system.replace(' ', '-')}.jsonl"
        write_predictions(work / name, answers)
    write_scores(work / SCORES_NAME, rows, settings.bootstrap)
    (work / TABLE_NAME).write_text(table, encoding="utf-8")
    work.rename(out)
