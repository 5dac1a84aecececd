"""The evaluation as a whole: who answers what, what is written, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from chat_server import chat_server, completion

from domainvl.endpoint import EndpointSettings
from domainvl.errors import CheckpointError, DatasetError, NothingToDoError, UsageError
from domainvl.evaluation import run as running
from domainvl.evaluation.contestants import ADAPTED, BASE, BLANK, MAJORITY, SERVER, Contestants
from domainvl.evaluation.generating import checkpoint
from domainvl.evaluation.predictions import Prediction, read_predictions, write_predictions
from domainvl.evaluation.results import Results, read_results, write_results
from domainvl.evaluation.run import EvaluationSettings, evaluate, rescore
from domainvl.schema import Sample, Split, read_samples
from domainvl.schema.operations.few_shot import FewShotSettings, few_shot_dataset
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune

SETTINGS = EvaluationSettings(max_new_tokens=8, measure_cost=False)


@pytest.fixture(scope="module")
def run(untrained: Path, squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps: it has learned nothing, but it is an adapter on a base."""
    out = tmp_path_factory.mktemp("runs") / "run"
    recipe = load_recipe(
        "quickstart/medical", model=str(untrained), overrides=["optimisation.max_steps=2", "validation.answers=0"]
    )
    finetune(recipe, squares, out)
    return out


@pytest.fixture(scope="module")
def scores(run: Path, squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluations") / "scores"
    evaluate(Contestants(model=str(run)), squares, out, settings=SETTINGS)
    return out


def held_out(squares: Path) -> list[Sample]:
    return list(read_samples(squares, Split.TEST))


def without_costs(results: Results) -> Results:
    systems = tuple(system.model_copy(update={"cost": None}) for system in results.systems)
    return results.model_copy(update={"systems": systems})


def test_every_system_answers_every_held_out_sample(scores: Path, squares: Path) -> None:
    results = read_results(scores)
    assert [(system.name, system.kind) for system in results.systems] == [
        (ADAPTED, "adapted"), (BASE, "base"), (BLANK, "baseline"), (MAJORITY, "baseline"),
    ]  # fmt: skip
    samples = {sample.id for sample in held_out(squares)}
    for system in results.systems:
        assert {prediction.sample_id for prediction in read_predictions(scores / system.predictions)} == samples
    assert sorted(path.name for path in scores.iterdir()) == sorted(
        ["scores.json", "scores.md", *(system.predictions for system in results.systems)]
    )
    assert results.systems[0].predictions == "predictions.jsonl"
    columns = [line.name for line in results.lines if line.average is None and line.name.endswith(" accuracy")]
    assert columns == ["vqa accuracy", "counting accuracy", "grounding accuracy"]
    assert {(line.n, line.groups) for line in results.lines if line.average is None} == {(6, 6)}
    assert results.data.samples == 18
    assert {one.name for one in results.comparisons} >= {results.headline}


def test_the_same_command_finds_the_same(run: Path, squares: Path, scores: Path, tmp_path: Path) -> None:
    evaluate(Contestants(model=str(run)), squares, tmp_path / "again", settings=SETTINGS)
    for file in scores.iterdir():
        if file.name != "scores.json":
            assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
    assert without_costs(read_results(tmp_path / "again")) == without_costs(read_results(scores))


class _Killed(Exception):
    pass


def test_a_killed_run_goes_on_and_asks_nothing_twice(
    run: Path, squares: Path, scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_ANSWERS_A_BATCH", 4)
    asked: Counter[tuple[str, str]] = Counter()
    written = running.answer_all
    limit = 7

    def kill(system: str, done: int, _: int) -> None:
        nonlocal limit
        asked[system, str(done)] += 1
        if sum(asked.values()) == limit:
            limit += 9
            raise _Killed

    kills = 0
    while True:
        try:
            evaluate(Contestants(model=str(run)), squares, tmp_path / "out", settings=SETTINGS, on_progress=kill)
            break
        except _Killed:
            kills += 1
            assert not (tmp_path / "out").exists()
            assert (tmp_path / ".out.partial").is_dir()
    assert kills >= 1
    assert written is running.answer_all
    assert without_costs(read_results(tmp_path / "out")).lines == read_results(scores).lines
    assert (tmp_path / "out" / "predictions.jsonl").read_bytes() == (scores / "predictions.jsonl").read_bytes()
    # Each number of answers was reached once; where a run went on, it is told once more where it stands.
    assert max(asked.values()) <= 1 + kills
    assert sum(count - 1 for count in asked.values()) <= 3 * kills
    assert not (tmp_path / ".out.partial").exists()


def test_a_killed_run_is_not_gone_on_with_by_another(run: Path, squares: Path, tmp_path: Path) -> None:
    """Another limit gathers other options and asks others: its answers are not those that are there."""

    def kill(*_: object) -> None:
        raise _Killed

    with pytest.raises(_Killed):
        evaluate(Contestants(model=str(run)), squares, tmp_path / "out", settings=SETTINGS, on_progress=kill)
    fewer = replace(SETTINGS, limit=6)
    with pytest.raises(UsageError, match="the answers there are others: questions was"):
        evaluate(Contestants(model=str(run)), squares, tmp_path / "out", settings=fewer)


def test_answers_of_others_are_scored_beside(squares: Path, tmp_path: Path) -> None:
    """Without any model: a perfect system against one that always says the same, by their files."""
    samples = held_out(squares)
    right = [Prediction(sample_id=sample.id, text=sample.turns[-1].text) for sample in samples]
    write_predictions(tmp_path / "right.jsonl", right)
    write_predictions(tmp_path / "red.jsonl", [Prediction(sample_id=sample.id, text="red") for sample in samples])
    contestants = Contestants(
        predictions={"right": tmp_path / "right.jsonl", "red": tmp_path / "red.jsonl"}, pretraining={"red": "none"}
    )
    results = evaluate(contestants, squares, tmp_path / "scores", settings=SETTINGS)
    assert [(system.name, system.kind, system.pretraining) for system in results.systems] == [
        ("right", "other", None), ("red", "specialist", "none"), (MAJORITY, "baseline", None),
    ]  # fmt: skip
    lines = {line.name: line for line in results.lines}
    assert lines["all questions"].values["right"].value == 1.0
    reds = sum(sample.turns[-1].text == "red" for sample in samples)
    assert lines["vqa accuracy"].values["red"].value == pytest.approx(reds / 6)
    assert lines["grounding accuracy"].values["red"].value == 0.0
    assert set(results.unchecked) == {"right", "red"}


def test_a_server_answers_as_a_system_of_its_own(squares: Path, tmp_path: Path) -> None:
    with chat_server(lambda _: completion("red")) as (url, seen):
        contestants = Contestants(endpoint=EndpointSettings(url, "m"), baselines=False)
        results = evaluate(contestants, squares, tmp_path / "scores", settings=SETTINGS)
    assert [system.name for system in results.systems] == [SERVER]
    assert results.systems[0].about["endpoint"] == url
    assert len(seen) == 18
    assert results.comparisons == ()


def test_rescored_folders_equal_what_was_scored_together(squares: Path, tmp_path: Path) -> None:
    samples = held_out(squares)
    texts = {"right": [sample.turns[-1].text for sample in samples], "red": ["red"] * len(samples)}
    for name, said in texts.items():
        answers = [Prediction(sample_id=sample.id, text=text) for sample, text in zip(samples, said, strict=True)]
        write_predictions(tmp_path / f"{name}.jsonl", answers)
        alone = Contestants(predictions={name: tmp_path / f"{name}.jsonl"})
        evaluate(alone, squares, tmp_path / name, settings=SETTINGS)
    both = Contestants(predictions={name: tmp_path / f"{name}.jsonl" for name in texts})
    together = evaluate(both, squares, tmp_path / "both", settings=SETTINGS)
    compared = rescore([tmp_path / "right", tmp_path / "red"])
    assert [system.name for system in compared.systems] == ["right: right", MAJORITY, "red: red"]
    assert {one.b for one in compared.comparisons} == {"red: red", MAJORITY}
    expected = {(one.name, one.difference, one.p_holm) for one in together.comparisons if one.b == "red"}
    assert {(one.name, one.difference, one.p_holm) for one in compared.comparisons if one.b == "red: red"} == expected


def test_a_changed_protocol_or_equal_names_are_not_compared(squares: Path, tmp_path: Path) -> None:
    samples = held_out(squares)
    write_predictions(tmp_path / "a.jsonl", [Prediction(sample_id=sample.id, text="red") for sample in samples])
    one = Contestants(predictions={"a": tmp_path / "a.jsonl"})
    results = evaluate(one, squares, tmp_path / "one" / "run", settings=SETTINGS)
    evaluate(one, squares, tmp_path / "two" / "run", settings=SETTINGS)
    with pytest.raises(UsageError, match="run is there twice"):
        rescore([tmp_path / "one" / "run", tmp_path / "two" / "run"])
    write_results(tmp_path / "one" / "run" / "scores.json", results.model_copy(update={"protocol_sha256": "0" * 64}))
    with pytest.raises(UsageError, match="protocol generic has changed since: it was version 1 with hash 000000000000"):
        rescore([tmp_path / "one" / "run"])


def test_majority_answers_of_other_training_data_stand_apart(squares: Path, tmp_path: Path) -> None:
    """Once the majority of the set's own training split, once that of another with fewer samples."""
    samples = held_out(squares)
    write_predictions(tmp_path / "a.jsonl", [Prediction(sample_id=sample.id, text="red") for sample in samples])
    other = shutil.copytree(squares, tmp_path / "other")
    lines = (other / "train.jsonl").read_text().splitlines(keepends=True)
    (other / "train.jsonl").write_text("".join(lines[:6]))
    for name, source in (("x", None), ("y", None), ("z", other)):
        wanted = Contestants(predictions={"a": tmp_path / "a.jsonl"}, training_data=source)
        evaluate(wanted, squares, tmp_path / name, settings=SETTINGS)
    compared = rescore([tmp_path / "x", tmp_path / "y", tmp_path / "z"])
    assert [system.name for system in compared.systems] == ["x: a", MAJORITY, "y: a", "z: a", "z: majority"]


def test_other_data_are_not_compared(squares: Path, untrained: Path, tmp_path: Path) -> None:
    samples = held_out(squares)
    write_predictions(tmp_path / "a.jsonl", [Prediction(sample_id=sample.id, text="red") for sample in samples])
    one = Contestants(predictions={"a": tmp_path / "a.jsonl"}, baselines=False)
    evaluate(one, squares, tmp_path / "all", settings=SETTINGS)
    evaluate(one, squares, tmp_path / "some", settings=EvaluationSettings(limit=6))
    with pytest.raises(UsageError, match="limit None and 6"):
        rescore([tmp_path / "all", tmp_path / "some"])
    data = shutil.copytree(squares, tmp_path / "data")
    (data / "test.jsonl").write_text((data / "test.jsonl").read_text().replace("What colour", "Which colour"))
    with pytest.raises(DatasetError, match="another than the one that was scored"):
        rescore([tmp_path / "all"], data)


def test_predictions_of_another_set_are_refused_with_counts(squares: Path, tmp_path: Path) -> None:
    samples = held_out(squares)
    answers = [Prediction(sample_id=sample.id, text="red") for sample in samples[2:]]
    write_predictions(tmp_path / "a.jsonl", [*answers, Prediction(sample_id="foreign", text="red")])
    rule = rf"2 missing \({samples[0].id}, {samples[1].id}\).*1 unknown \(foreign\)"
    with pytest.raises(DatasetError, match=rule):
        evaluate(Contestants(predictions={"a": tmp_path / "a.jsonl"}), squares, tmp_path / "out", settings=SETTINGS)


def test_a_whole_model_has_no_base_unless_named(untrained: Path, squares: Path, tmp_path: Path) -> None:
    few = EvaluationSettings(max_new_tokens=2, measure_cost=False, limit=6)
    alone = evaluate(Contestants(model=str(untrained)), squares, tmp_path / "alone", settings=few)
    assert BASE not in [system.name for system in alone.systems]
    named = Contestants(model=str(untrained), base=str(untrained), baselines=False)
    beside = evaluate(named, squares, tmp_path / "beside", settings=few)
    assert [system.name for system in beside.systems] == [ADAPTED, BASE]
    assert {one.difference for one in beside.comparisons} == {0.0}
    assert {one.verdict for one in beside.comparisons} == {"not distinguishable"}


def test_held_out_samples_with_solved_examples_are_answered(untrained: Path, squares: Path, tmp_path: Path) -> None:
    """As they are worded, each after two training samples of its task with their answers and images."""
    data = tmp_path / "two-shot"
    made = few_shot_dataset(squares, data, FewShotSettings(shots=2, held_out_too=True))
    assert (made.few_shot_count, made.held_out_count, made.left_out) == (24 * 3, 12 * 3, {})
    few = EvaluationSettings(max_new_tokens=2, measure_cost=False)
    results = evaluate(Contestants(model=str(untrained)), data, tmp_path / "scores", settings=few)
    samples = list(read_samples(data, Split.TEST))
    assert {len(sample.turns) for sample in samples} == {6}
    predictions = read_predictions(tmp_path / "scores" / "predictions.jsonl")
    assert {prediction.sample_id for prediction in predictions} == {sample.id for sample in samples}
    # What the majority says comes from the training split's own answers, and they are those of the plain set.
    plain = evaluate(Contestants(model=str(untrained)), squares, tmp_path / "plain", settings=few)
    for mine, other in zip(results.lines, plain.lines, strict=True):
        assert mine.values[MAJORITY] == other.values[MAJORITY]


def test_limit_spreads_over_the_file(squares: Path, tmp_path: Path) -> None:
    samples = held_out(squares)
    write_predictions(tmp_path / "a.jsonl", [Prediction(sample_id=sample.id, text="red") for sample in samples])
    one = Contestants(predictions={"a": tmp_path / "a.jsonl"}, baselines=False)
    results = evaluate(one, squares, tmp_path / "scores", settings=EvaluationSettings(limit=6))
    predictions = read_predictions(tmp_path / "scores" / "predictions.jsonl")
    assert len(predictions) == 6
    assert len({prediction.sample_id.split("/")[0] for prediction in predictions}) == 6
    assert (results.data.samples, results.data.limit) == (6, 6)


def test_another_wording_or_space_of_coordinates_is_refused(untrained: Path, squares: Path, tmp_path: Path) -> None:
    data = shutil.copytree(squares, tmp_path / "data")
    lines = (data / "test.jsonl").read_text().replace('"wording":"internvl-1"', '"wording":"other"')
    (data / "test.jsonl").write_text(lines)
    with pytest.raises(CheckpointError, match=r"internvl-1; got other in 18 of 18 samples \(01/colour, "):
        evaluate(Contestants(model=str(untrained)), data, tmp_path / "scores", settings=SETTINGS)
    foreign = shutil.copytree(untrained, tmp_path / "foreign")
    spec = json.loads((foreign / "domainvl.json").read_text())
    spec["preprocessing"]["coordinate_space"] = "0-1"
    (foreign / "domainvl.json").write_text(json.dumps(spec))
    with pytest.raises(CheckpointError, match=r"boxes in 0-1, the data set in 0-1000: 6 of 18 samples ask for boxes"):
        evaluate(Contestants(model=str(foreign)), squares, tmp_path / "scores", settings=SETTINGS)


def test_a_leak_is_found_and_named(squares: Path, untrained: Path, tmp_path: Path) -> None:
    """Scored on its own training split, a run shares every group and image with it."""
    recipe = load_recipe(
        "quickstart/medical", model=str(untrained), overrides=["optimisation.max_steps=1", "validation.answers=0"]
    )
    finetune(recipe, squares, tmp_path / "run")
    settings = EvaluationSettings(split=Split.TRAIN, max_new_tokens=1, measure_cost=False)
    contestants = Contestants(model=str(tmp_path / "run"), baselines=False)
    results = evaluate(contestants, squares, tmp_path / "train", settings=settings)
    (leak,) = [leak for leak in results.leaks if leak.system == ADAPTED]
    assert (leak.samples, leak.groups) == (results.data.samples, results.data.groups)
    held = evaluate(contestants, squares, tmp_path / "test", settings=SETTINGS)
    trained = {image.pixel_sha256 for sample in read_samples(squares, Split.TRAIN) for image in sample.images}
    shared = [
        sample.id for sample in held_out(squares) if trained & {image.pixel_sha256 for image in sample.images}
    ]  # by chance the same square was drawn twice
    assert [(leak.samples, leak.groups, leak.examples) for leak in held.leaks] == [(len(shared), 0, tuple(shared[:3]))]
    assert ADAPTED not in held.unchecked


def test_refusals(untrained: Path, squares: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="the folder exists"):
        evaluate(Contestants(model=str(untrained)), squares, tmp_path / "there")
    with pytest.raises(UsageError, match="there must be a model, a server, a specialist or a file of answers"):
        evaluate(Contestants(), squares, tmp_path / "out")
    data = shutil.copytree(squares, tmp_path / "data")
    (data / "test.jsonl").write_text("")
    with pytest.raises(NothingToDoError, match="there is no sample"):
        evaluate(Contestants(model=str(untrained)), data, tmp_path / "out")
