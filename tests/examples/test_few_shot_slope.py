"""The experiment on the slope over solved examples: its data, its measure, and the whole in a reduced form."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from example_modules import importing_from
from PIL import Image

from domainvl.evaluation.items import ItemScore
from domainvl.schema import Sample, Split, Task, read_samples
from domainvl.schema.operations.few_shot import FewShotSettings, few_shot_dataset
from domainvl.schema.sample import EXAMPLE_OF

EXAMPLE = Path(__file__).parents[2] / "examples" / "few_shot_slope"


@pytest.fixture(scope="module", autouse=True)
def example():
    with importing_from(EXAMPLE):
        yield


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import swatches

    folder = tmp_path_factory.mktemp("data") / "stores"
    swatches.write_swatches(folder, swatches.Stores(24, 12, 2), seed=5)
    return folder


def mean_colour(dataset: Path, path: str) -> np.ndarray:
    with Image.open(dataset / path) as image:
        return np.asarray(image, float).mean((0, 1))


def dye_of(dataset: Path, sample: Sample) -> int:
    """Read the dye back from the pixels: the nearest of those that there are."""
    import swatches

    distances = np.linalg.norm(np.array(swatches.DYES) - mean_colour(dataset, sample.images[-1].path), axis=1)
    return int(distances.argmin())


def test_a_letter_stands_for_a_dye_in_one_store_and_for_others_in_others(stores: Path) -> None:
    letters: dict[tuple[str, int], set[str]] = defaultdict(set)
    for split in Split:
        for sample in read_samples(stores, split):
            letters[sample.domain, dye_of(stores, sample)].add(sample.answer.text)
    assert {len(found) for found in letters.values()} == {1}
    assert len({dye for _, dye in letters}) == 10
    by_store, by_dye = defaultdict(list), defaultdict(set)
    for (store, dye), (letter,) in letters.items():
        by_store[store].append(letter)
        by_dye[dye].add(letter)
    assert all(len(found) == len(set(found)) == 2 for found in by_store.values())
    # Five stores a dye on average: of four letters that are drawn evenly they have 4 (1 - 0.75^5) = 3 different ones.
    assert np.mean([len(found) for found in by_dye.values()]) > 2
    questions = {sample.question for sample in read_samples(stores, Split.TEST)}
    assert len(questions) == 1, "the question must not tell the store"


def test_examples_can_be_of_the_own_store_and_intervals_are_over_stores(stores: Path) -> None:
    training = [sample.group for sample in read_samples(stores, Split.TRAIN)]
    assert len(set(training)) == len(training) == 24 * 12
    held_out = {(sample.group, sample.domain) for sample in read_samples(stores, Split.TEST)}
    assert len(held_out) == len({group for group, _ in held_out}) == len({store for _, store in held_out}) == 24
    assert not {group for group, _ in held_out} & set(training)


def test_the_most_similar_example_says_the_answer_and_is_of_the_own_store(stores: Path, tmp_path: Path) -> None:
    def look(images) -> np.ndarray:
        # From a middle grey, so that the cosine tells dark from bright.
        return np.array([mean_colour(stores, image.path) - 128 for image in images], np.float32)

    few_shot_dataset(stores, tmp_path / "similar", FewShotSettings(shots=4, by="similar"), features=look)
    given = {sample.id: sample for sample in read_samples(stores, Split.TRAIN)}
    told = []
    for sample in read_samples(tmp_path / "similar", Split.TRAIN):
        shown = [given[str(image.source.details[EXAMPLE_OF])] for image in sample.images[:-1]]
        assert {example.domain for example in shown} == {sample.domain}
        told.append(shown[-1].answer.text == sample.answer.text)
    assert np.mean(told) > 0.9


def scores(*right: bool) -> list[ItemScore]:
    return [
        ItemScore(str(number), f"store-{number}", "store", Task.VQA, one, None, None, False)
        for number, one in enumerate(right)
    ]


def test_slope_is_the_least_squares_line_through_the_means() -> None:
    """By hand: shots less their mean are -1.75, -0.75, 0.25 and 2.25, their squares add up to 8.75."""
    import run

    wrong, half, right = scores(False, False), scores(True, False), scores(True, True)
    rising = run.Curve("rising", {0: [wrong], 1: [half], 2: [right], 4: [right]})
    assert rising.slope().mean == pytest.approx((-0.75 * 0.5 + 0.25 + 2.25) / 8.75)
    assert [rising.right(shots).mean for shots in run.SHOTS] == [0, 0.5, 1, 1]
    falling = run.Curve("falling", {0: [right], 1: [half], 2: [half], 4: [wrong]})
    slope = (-1.75 + -0.75 * 0.5 + 0.25 * 0.5) / 8.75
    assert falling.slope().mean == pytest.approx(slope)
    assert rising.slope_minus(falling).mean == pytest.approx(2.125 / 8.75 - slope)
    both = run.Curve("both", {shots: [*rising.scores[shots], *falling.scores[shots]] for shots in run.SHOTS})
    assert both.slope().mean == pytest.approx((2.125 / 8.75 + slope) / 2)
    assert both.of_model(1).slope().mean == pytest.approx(slope)


@pytest.mark.slow
def test_the_whole_runs_and_treats_both_trainings_alike(tmp_path: Path) -> None:
    import run

    size = run.QUICK_SIZE
    curves = run.run_experiment(tmp_path, size)
    assert list(curves) == ["rices", "random"]
    for part in curves.values():
        assert [curve.name for curve in part] == ["`tiny`", "taught to read examples", run.PLAIN, run.SHARE]
        asked = {
            tuple(item.sample_id for item in items)
            for curve in part
            for models in curve.scores.values()
            for items in models
        }
        assert len(asked) == 1
        assert len(next(iter(asked))) == size.asking.stores * size.asking.testing
        plain, share = part[2:]
        assert plain.tokens == share.tokens
    table = run.table(curves)
    assert table.count(f"slope, {run.SHARE} minus {run.PLAIN}:") == 2
    assert table.count("| ") > 2 * 4 * 7
