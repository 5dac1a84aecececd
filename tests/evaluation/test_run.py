"""The comparison as a whole."""

import json
from pathlib import Path

import pytest

from domainvl.errors import CheckpointError, NothingToDoError, UsageError
from domainvl.evaluation.predictions import read_predictions
from domainvl.evaluation.run import BASE, BLANK, GAIN, MAJORITY, EvaluationSettings, evaluate
from domainvl.schema import Split, read_samples
from domainvl.schema.operations.few_shot import FewShotSettings, few_shot_dataset
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune

SETTINGS = EvaluationSettings(max_new_tokens=8)


@pytest.fixture(scope="module")
def run(untrained: Path, squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps: it has learned nothing, but it is an adapter on a base."""
    out = tmp_path_factory.mktemp("runs") / "run"
    recipe = load_recipe(
        "quickstart/medical", model=str(untrained), overrides=["optimisation.max_steps=2", "validation.answers=0"]
    )
    finetune(recipe, squares, out)
    return out


def test_every_system_answers_every_held_out_sample(run: Path, squares: Path, tmp_path: Path) -> None:
    summary = evaluate(str(run), squares, tmp_path / "scores", settings=SETTINGS)
    assert list(summary.rows) == [BASE, "adapted", MAJORITY, BLANK, GAIN]
    samples = {sample.id for sample in read_samples(squares, Split.TEST)}
    files = sorted((tmp_path / "scores").glob("predictions*.jsonl"))
    assert [file.name for file in files] == [
        "predictions-base.jsonl",
        "predictions-blank-images.jsonl",
        "predictions-majority.jsonl",
        "predictions.jsonl",
    ]
    for file in files:
        assert {prediction.sample_id for prediction in read_predictions(file)} == samples
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert {row["task"] for row in scores["scores"]} == {"vqa", "grounding", "counting"}
    assert {row["groups"] for row in scores["scores"]} == {6}
    assert (tmp_path / "scores" / "scores.md").read_text() == summary.table


def test_the_gain_is_adapted_minus_base(run: Path, squares: Path, tmp_path: Path) -> None:
    rows = evaluate(str(run), squares, tmp_path / "scores", settings=SETTINGS).rows
    for gain, adapted, base in zip(rows[GAIN], rows["adapted"], rows[BASE], strict=True):
        assert gain.mean == pytest.approx(adapted.mean - base.mean)


def test_same_command_twice_gives_equal_files(run: Path, squares: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        evaluate(str(run), squares, tmp_path / name, settings=SETTINGS)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_whole_model_has_no_base_unless_named(untrained: Path, squares: Path, tmp_path: Path) -> None:
    alone = evaluate(str(untrained), squares, tmp_path / "alone", settings=SETTINGS)
    assert BASE not in alone.rows
    beside = evaluate(str(untrained), squares, tmp_path / "beside", base=str(untrained), settings=SETTINGS)
    assert [row.mean for row in beside.rows[GAIN]] == [0.0] * 3


def test_held_out_samples_with_solved_examples_are_answered(untrained: Path, squares: Path, tmp_path: Path) -> None:
    """As they are worded, each after two training samples of its task with their answers and images."""
    data = tmp_path / "two-shot"
    made = few_shot_dataset(squares, data, FewShotSettings(shots=2, held_out_too=True))
    assert (made.few_shot_count, made.held_out_count, made.left_out) == (24 * 3, 12 * 3, {})
    summary = evaluate(str(untrained), data, tmp_path / "scores", settings=SETTINGS)
    samples = list(read_samples(data, Split.TEST))
    assert {len(sample.turns) for sample in samples} == {6}
    predictions = read_predictions(tmp_path / "scores" / "predictions.jsonl")
    assert {prediction.sample_id for prediction in predictions} == {sample.id for sample in samples}
    assert {row.task for row in summary.rows["adapted"]} == {"vqa", "grounding", "counting"}
    # What the majority says comes from the training split's own answers, and they are those of the plain set.
    plain = evaluate(str(untrained), squares, tmp_path / "plain", settings=SETTINGS)
    assert summary.rows[MAJORITY] == plain.rows[MAJORITY]


def test_limit_spreads_over_the_file(untrained: Path, squares: Path, tmp_path: Path) -> None:
    settings = EvaluationSettings(max_new_tokens=2, limit=6)
    evaluate(str(untrained), squares, tmp_path / "scores", settings=settings)
    predictions = read_predictions(tmp_path / "scores" / "predictions.jsonl")
    assert len(predictions) == 6
    assert len({prediction.sample_id.split("/")[0] for prediction in predictions}) == 6


def test_another_wording_is_refused(untrained: Path, squares: Path, tmp_path: Path) -> None:
    import shutil

    data = shutil.copytree(squares, tmp_path / "data")
    lines = (data / "test.jsonl").read_text().replace('"wording":"internvl-1"', '"wording":"other"')
    (data / "test.jsonl").write_text(lines)
    with pytest.raises(CheckpointError, match="worded as the model was trained, internvl-1; got other"):
        evaluate(str(untrained), data, tmp_path / "scores", settings=SETTINGS)


def test_refusals(untrained: Path, squares: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="the folder exists"):
        evaluate(str(untrained), squares, tmp_path / "there")
    with pytest.raises(UsageError, match="got 'tset'"):
        EvaluationSettings.from_options(split="tset", limit=None, batch_size=1, max_new_tokens=1, device="cpu")
    import shutil

    empty = shutil.copytree(squares, tmp_path / "data")
    (empty / "test.jsonl").write_text("")
    with pytest.raises(NothingToDoError, match="test.jsonl is empty"):
        evaluate(str(untrained), empty, tmp_path / "scores")
