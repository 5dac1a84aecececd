"""Scores by the number of solved examples."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from domainvl.errors import NothingToDoError, UsageError
from domainvl.evaluation.in_context import (
    ShotSamples,
    evaluate_shots,
    fits_context,
    shot_samples,
    shot_table,
    slope,
)
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.loading import load_protocol
from domainvl.evaluation.protocols.scoring import select_samples
from domainvl.evaluation.statistics.resampling import BootstrapSettings, Resamples
from domainvl.evaluation.statistics.scores import mean_score
from domainvl.schema import Image, Sample, Split, Task, read_samples
from domainvl.schema.operations.few_shot import FewShotSettings, few_shot_dataset
from domainvl.schema.sample import EXAMPLE_OF

SampleMaker = Callable[..., Sample]
SETTINGS = BootstrapSettings(resamples=200)


@pytest.fixture(scope="module")
def held_out(squares: Path) -> list[Sample]:
    return list(read_samples(squares, Split.TEST))


def brightness(images: Sequence[Image]) -> np.ndarray:
    """Stands for a vision encoder: a vector that hangs on the pixels alone."""
    return np.array([[int(image.pixel_sha256[:8], 16), int(image.pixel_sha256[8:16], 16)] for image in images], "f4")


@pytest.mark.parametrize("select", ["random", "rices"])
def test_the_same_samples_with_the_last_of_the_examples(squares: Path, held_out: list[Sample], select: str) -> None:
    features = brightness if select == "rices" else None
    found = shot_samples(squares, held_out, (4, 0, 2, 1), select=select, seed=3, features=features)
    assert list(found.by_shots) == [0, 1, 2, 4]
    assert found.by_shots[0] == found.samples == tuple(held_out)
    assert found.left_out == {}
    for fewer, more, most in zip(found.by_shots[1], found.by_shots[2], found.by_shots[4], strict=True):
        assert fewer.id == more.id == most.id
        assert (len(fewer.turns), len(more.turns), len(most.turns)) == (4, 6, 10)
        assert most.turns[-6:][1:] == more.turns[1:]  # the first of a prompt's turns may begin otherwise
        assert [turn.text for turn in more.turns[-3:]] == [turn.text for turn in fewer.turns[-3:]]


def test_examples_are_those_that_the_few_shot_command_writes(
    squares: Path, held_out: list[Sample], tmp_path: Path
) -> None:
    settings = FewShotSettings(shots=2, by="similar", seed=5, held_out_too=True, max_images=99)
    few_shot_dataset(squares, tmp_path / "two", settings, features=brightness, features_of="brightness")
    written = {sample.id: sample.turns for sample in read_samples(tmp_path / "two", Split.TEST)}
    found = shot_samples(squares, held_out, (0, 2), select="rices", seed=5, features=brightness)
    assert {sample.id: sample.turns for sample in found.by_shots[2]} == written


def test_the_most_similar_is_the_last_and_the_only_one_of_one_shot(squares: Path, held_out: list[Sample]) -> None:
    train = [sample for sample in read_samples(squares, Split.TRAIN) if sample.task is Task.VQA]
    asked = [sample for sample in held_out if sample.task is Task.VQA]
    found = shot_samples(squares, asked, (1, 3), select="rices", features=brightness)

    def likeness(a: Image, b: Image) -> float:
        first, second = brightness([a, b]).astype(float)
        return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))

    for sample, one, three in zip(asked, found.by_shots[1], found.by_shots[3], strict=True):
        best = max(train, key=lambda other: likeness(other.images[0], sample.images[0]))
        assert one.images[0].pixel_sha256 == best.images[0].pixel_sha256
        likenesses = [likeness(image, sample.images[0]) for image in three.images[:-1]]
        assert likenesses == sorted(likenesses)


def test_samples_without_enough_examples_or_room_are_counted(squares: Path, held_out: list[Sample]) -> None:
    """Of 12 groups there are 12 examples a task; what is long at the most shots is left out at all of them."""
    with pytest.raises(NothingToDoError, match="13 examples are wanted before each of 18 samples: 18 too-few-examples"):
        shot_samples(squares, held_out, (0, 13))
    found = shot_samples(squares, held_out, (0, 2), fits=lambda sample: len(sample.images) < 6)
    assert found.left_out == {"too-long": 6}  # counting, of two images each: 6 with two examples
    assert {sample.task for sample in found.samples} == {Task.VQA, Task.GROUNDING}
    assert len(found.by_shots[0]) == len(found.by_shots[2]) == 12


def test_a_prompt_must_fit_the_positions_of_the_model(untrained: Path, squares: Path, held_out: list[Sample]) -> None:
    from domainvl.model.checkpoint import read_config

    limit = read_config(untrained).text_config.max_position_embeddings
    assert fits_context(str(untrained), 8)(held_out[0])
    assert not fits_context(str(untrained), limit)(held_out[0])


def test_what_makes_no_sense_is_refused(squares: Path, held_out: list[Sample]) -> None:
    with pytest.raises(UsageError, match=r"numbers from 0 on, got \[-1\]"):
        shot_samples(squares, held_out, (-1,))
    with pytest.raises(UsageError, match="vision encoder"):
        shot_samples(squares, held_out, (1,), select="rices")
    shown = shot_samples(squares, held_out, (1,)).by_shots[1]
    assert any(EXAMPLE_OF in image.source.details for image in shown[0].images)
    with pytest.raises(UsageError, match="18 do"):
        shot_samples(squares, shown, (1,))


def test_slope_of_a_straight_line_and_of_a_crooked_one() -> None:
    """0, 1 and 2 shots with 0.2, 0.4 and 0.6 rise by 0.2 a shot; numpy's polyfit gives that of others."""
    resamples = Resamples([f"g{index}" for index in range(5)], SETTINGS)

    def estimates(table: dict[int, list[float]]):
        return dict(zip(table, resamples.estimates([mean_score(row) for row in table.values()]), strict=True))

    straight = slope(estimates({0: [1, 0, 0, 0, 0], 1: [1, 1, 0, 0, 0], 2: [1, 1, 1, 0, 0]}))
    assert straight.value == pytest.approx(0.2)
    assert straight.low is not None and straight.high is not None
    assert 0 <= straight.low <= 0.2 <= straight.high <= 0.5
    crooked = {0: [1, 0, 1, 0, 0], 1: [0, 0, 0, 0, 0], 4: [1, 1, 1, 1, 0], 8: [1, 1, 1, 0, 0]}
    wanted = np.polyfit(list(crooked), [np.mean(row) for row in crooked.values()], 1)[0]
    assert slope(estimates(crooked)).value == pytest.approx(wanted)


def test_the_interval_of_the_slope_is_of_paired_resamples() -> None:
    """At 0 to 3 shots a slope is 0.3 (s3 - s0) + 0.1 (s2 - s1): made to be 0.1 for each sample, whatever is drawn."""
    a, b, gain = np.random.default_rng(0).uniform(size=(3, 7))
    scores = (a, b, b + 1 - 3 * gain, a + gain)
    resamples = Resamples([f"g{index}" for index in range(7)], SETTINGS)
    found = resamples.estimates([mean_score(score, bounds=None) for score in scores])
    assert all(one.high - one.low > 0.1 for one in found)
    gained = slope(dict(enumerate(found)))
    assert gained.value == pytest.approx(0.1)
    assert (gained.low, gained.high) == (None, None)  # no resample differs, and there are no bounds to go by


def test_a_single_number_of_shots_has_no_slope() -> None:
    estimate = Resamples(["a", "b"], SETTINGS).estimate(mean_score([1.0, 0.0]))
    assert slope({4: estimate}).value is None


def test_the_curve_of_a_system_that_needs_two_examples(make_sample: SampleMaker) -> None:
    samples = [make_sample(f"s{index}", group=f"g{index % 3}") for index in range(6)]
    left_out = make_sample("left out", group="g0")
    shots = {number: tuple(samples) for number in (0, 1, 2)}
    asked = ShotSamples(tuple(samples), shots, {"too-few-examples": 1}, "random", 0)
    calls = []

    def answer(given: Sequence[Sample]):
        calls.append(len(given))
        text = "lung" if len(calls) == 3 else "heart"
        return [Prediction(sample_id=sample.id, text=text) for sample in given], None

    protocol = load_protocol("generic-vqa")
    selection = select_samples(protocol, [left_out, *samples])
    curve = evaluate_shots(protocol, selection, asked, answer, SETTINGS)
    assert calls == [6, 6, 6]
    assert [(point.shots, point.score.value) for point in curve.points] == [(0, 0.0), (1, 0.0), (2, 1.0)]
    assert curve.slope.value == pytest.approx(0.5)  # (0 * -1 + 0 * 0 + 1 * 1) / 2
    assert (curve.n, curve.groups, curve.left_out) == (6, 3, {"too-few-examples": 1})
    table = shot_table(curve)
    assert "slope a shot: +0.5000 [" in table
    assert "left out: 1 too-few-examples" in table
