"""Experiments on the samples of an evaluation: other limits of tiles, solved examples in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.errors import UsageError
from domainvl.evaluation.contestants import check_fit, make_answerer
from domainvl.evaluation.generating.answerer import Answered, answer_all
from domainvl.evaluation.generating.checkpoint import CheckpointSettings
from domainvl.evaluation.generating.options import Options
from domainvl.evaluation.in_context import Select, evaluate_shots, fits_context, shot_samples, shot_table
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.results import Cost
from domainvl.evaluation.run import EvaluationSettings, Further, HeldOut, Progress
from domainvl.evaluation.tile_sweep import check_limits, sweep_table, sweep_tiles
from domainvl.evaluation.workplace import journal_path
from domainvl.files import write_atomically
from domainvl.model.checkpoint import find_checkpoint, read_spec
from domainvl.schema import Sample

if TYPE_CHECKING:
    from domainvl.schema.operations.few_shot import ImageFeatures

TILES_NAME, SHOTS_NAME = "tiles.json", "shots.json"


def tile_experiment(model: str, limits: Sequence[int], on_progress: Progress | None = None) -> Further:
    """Return the experiment that asks a model at several limits of tiles.

    Args:
        model: The checkpoint.
        limits: Limits of tiles a sample; the checkpoint's own is added.
        on_progress: Told how far it is.

    Raises:
        CheckpointError: If there is no such checkpoint.
        UsageError: If a limit is below 1.
    """
    check_limits(limits)
    own = read_spec(find_checkpoint(model)).preprocessing.max_tiles

    def run(held_out: HeldOut, asking: EvaluationSettings, work: Path) -> str:
        def answer(samples: Sequence[Sample], max_tiles: int) -> tuple[Sequence[Prediction], Cost | None]:
            answered = _answer(model, held_out, asking, work, f"tiles-{max_tiles}", samples, max_tiles, on_progress)
            return answered.predictions, answered.cost

        found = sweep_tiles(held_out.protocol, held_out.selection, limits, own, answer, asking.bootstrap)
        write_atomically(work / TILES_NAME, (found.model_dump_json(indent=1) + "\n").encode())
        return sweep_table(found)

    return run


def shot_experiment(
    model: str,
    shots: Sequence[int],
    select: str,
    on_progress: Progress | None = None,
) -> Further:
    """Return the experiment that puts solved examples before the questions.

    Args:
        model: The checkpoint, which also looks at the images where similar ones are chosen.
        shots: Numbers of examples.
        select: ``random`` or ``rices``.
        on_progress: Told how far it is.

    Raises:
        UsageError: If there is no such way to choose.
    """
    way: Select | None = "random" if select == "random" else "rices" if select == "rices" else None
    if way is None:
        raise UsageError("Cannot choose examples", rule=f"--select must be random or rices, got {select!r}")

    def run(held_out: HeldOut, asking: EvaluationSettings, work: Path) -> str:
        fits = fits_context(model, asking.max_new_tokens or 1, max_tiles=asking.max_tiles)
        look = _look(model, held_out.dataset, asking) if way == "rices" else None
        asked = shot_samples(
            held_out.dataset, held_out.selection.samples, shots, select=way, seed=asking.bootstrap.seed, features=look,
            fits=fits,
        )  # fmt: skip
        numbers = iter(asked.by_shots)

        def answer(samples: Sequence[Sample]) -> tuple[Sequence[Prediction], Cost | None]:
            name = f"shots-{next(numbers)}"
            answered = _answer(model, held_out, asking, work, name, samples, asking.max_tiles, on_progress)
            return answered.predictions, answered.cost

        found = evaluate_shots(held_out.protocol, held_out.selection, asked, answer, asking.bootstrap)
        write_atomically(work / SHOTS_NAME, (found.model_dump_json(indent=1) + "\n").encode())
        return shot_table(found)

    return run


def _answer(
    model: str,
    held_out: HeldOut,
    asking: EvaluationSettings,
    work: Path,
    name: str,
    samples: Sequence[Sample],
    max_tiles: int | None,
    on_progress: Progress | None,
) -> Answered:
    """Answer samples, with a journal of their own: the ids are those of the evaluation."""
    spec = read_spec(find_checkpoint(model))
    check_fit(spec, samples, model)
    settings = CheckpointSettings(
        model,
        held_out.dataset,
        spec.preprocessing.limited_to(max_tiles or spec.preprocessing.max_tiles),
        batch_size=asking.batch_size,
        max_new_tokens=asking.max_new_tokens or 1,
        measure=asking.measure_cost,
    )
    told = (lambda done, total: on_progress(name, done, total)) if on_progress else None
    answerer = make_answerer(settings, Options(held_out.selection.samples), asking.devices)
    identity = {"data": held_out.data.sha256, "experiment": name, "seed": str(asking.bootstrap.seed)}
    return answer_all(answerer, samples, journal_path(work, name), identity, told)


def _look(model: str, dataset: Path, asking: EvaluationSettings) -> ImageFeatures:
    from domainvl.model.checkpoint import load_model
    from domainvl.model.device import choose_device
    from domainvl.model.image_features import mean_image_features

    loaded = load_model(model, device=choose_device(asking.devices[0]))
    return lambda images: mean_image_features(loaded, dataset, images)
