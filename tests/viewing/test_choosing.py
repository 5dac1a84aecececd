"""Which samples a page shows: evenly over split and task, by seed, whatever their place in the file."""

from __future__ import annotations

from collections import Counter

import pytest
from builders import make_sample

from domainvl.errors import NothingToDoError, UsageError
from domainvl.schema import Split, Task
from domainvl.viewing.choosing import Stratum, Wanted, choose_samples, share_evenly


@pytest.mark.parametrize(
    ("available", "limit", "expected"),
    [
        ([100, 100], 10, [5, 5]),
        ([100, 3, 100], 11, [4, 3, 4]),  # the small one gives all it has
        ([100, 100, 100], 5, [2, 2, 1]),  # the first get what cannot be divided
        ([1, 1, 100], 50, [1, 1, 48]),
        ([4, 5], 100, [4, 5]),
        ([3, 3, 3], 2, [1, 1, 0]),
        ([7], 3, [3]),
    ],
)
def test_shares(available, limit, expected):
    assert share_evenly(available, limit) == expected


@pytest.fixture
def uneven(tmp_path, save):
    """90 and 5 training samples of two tasks, 5 test samples of one."""
    samples = [make_sample(f"v{number}", images=[]) for number in range(90)]
    samples += [make_sample(f"p{number}", task=Task.PRESENCE, images=[]) for number in range(5)]
    samples += [make_sample(f"t{number}", images=[], split=Split.TEST, group="t") for number in range(5)]
    return save(tmp_path / "uneven", samples)


def count(choice):
    return Counter((sample.split, sample.task) for sample in choice.samples)


def test_each_split_and_task_gets_the_same(uneven):
    choice = choose_samples(uneven, Wanted(limit=12))

    assert count(choice) == {
        (Split.TRAIN, Task.VQA): 4,
        (Split.TRAIN, Task.PRESENCE): 4,
        (Split.TEST, Task.VQA): 4,
    }
    assert choice.available == 100
    assert choice.strata == (
        Stratum(Split.TRAIN, Task.VQA, 90, 4),
        Stratum(Split.TRAIN, Task.PRESENCE, 5, 4),
        Stratum(Split.TEST, Task.VQA, 5, 4),
    )


def test_what_is_chosen_is_not_the_first_and_follows_the_seed(uneven):
    def numbers(seed):
        chosen = choose_samples(uneven, Wanted(splits=(Split.TRAIN,), tasks=(Task.VQA,), limit=30, seed=seed))
        return [int(sample.id[1:]) for sample in chosen.samples]

    first = numbers(0)
    assert len(first) == 30
    assert first == sorted(first)  # in the order of the file
    # Of 90 numbers in a row, 30 even draws reach into the last third: none would with (2/3)^30 = 5e-6.
    assert max(first) >= 60
    assert numbers(0) == first
    assert numbers(1) != first


def test_the_choice_does_not_depend_on_the_place_in_the_file(tmp_path, save):
    samples = [make_sample(f"v{number}", images=[]) for number in range(40)]
    there = save(tmp_path / "a", samples)
    back = save(tmp_path / "b", reversed(samples))

    wanted = Wanted(limit=7)
    assert {sample.id for sample in choose_samples(there, wanted).samples} == {
        sample.id for sample in choose_samples(back, wanted).samples
    }


def test_a_larger_limit_keeps_what_a_smaller_one_chose(uneven):
    small, large = ({sample.id for sample in choose_samples(uneven, Wanted(limit=n)).samples} for n in (9, 30))

    assert small < large


def test_options(uneven):
    wanted = Wanted.from_options(splits=["test", "train"], tasks=["vqa"], limit=3, seed=4)

    assert wanted == Wanted((Split.TRAIN, Split.TEST), (Task.VQA,), 3, 4)
    assert Wanted.from_options(splits=[], tasks=[], limit=200, seed=0) == Wanted()
    assert count(choose_samples(uneven, wanted)) == {(Split.TRAIN, Task.VQA): 2, (Split.TEST, Task.VQA): 1}


@pytest.mark.parametrize(
    ("splits", "tasks", "rule"),
    [
        (["dev"], [], "--split must be train, val or test, got 'dev'"),
        ([], ["vqa", "juggling"], "caption or conversation, got 'juggling'"),
    ],
)
def test_unknown_names_are_refused(splits, tasks, rule):
    with pytest.raises(UsageError, match=rule):
        Wanted.from_options(splits=splits, tasks=tasks, limit=1, seed=0)


def test_nothing_to_choose_from(uneven):
    with pytest.raises(NothingToDoError, match="no sample of split val and task vqa"):
        choose_samples(uneven, Wanted(splits=(Split.VAL,), tasks=(Task.VQA,)))
