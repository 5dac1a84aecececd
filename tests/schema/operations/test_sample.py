"""A smaller data set: exact counts, the same choice for the same names, and only the images in use."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_sets import (
    Given,
    content_of,
    images_in,
    images_of,
    lines_of,
    samples_of,
    write_set,
)

from domainvl import __version__
from domainvl.errors import NothingToDoError, UsageError
from domainvl.schema import CountAnswer, Reject, Split, Task, read_manifest
from domainvl.schema.operations import SampleSettings, Stratify, merge_datasets, sample_dataset
from domainvl.schema.operations.sample import apportion
from domainvl.schema.splitting import uniform_from_key

TRAIN, VAL, TEST = Split
COUNTING = {"task": Task.COUNTING, "answer": CountAnswer(count=1)}


@pytest.fixture
def scans(tmp_path):
    """60 training, 30 validation and 10 test samples; a fifth of each counts; groups of 5 samples; own images."""
    samples = []
    for split, count in ((TRAIN, 60), (VAL, 30), (TEST, 10)):
        samples += [
            Given(f"{split}/{n}", f"{split} {n // 5}", split, [n], COUNTING if n % 5 == 0 else {}) for n in range(count)
        ]
    return write_set(tmp_path / "scans", samples)


def choose(scans, name="out", **chosen):
    return sample_dataset(scans, scans.parent / name, SampleSettings(**chosen))


def ids(folder):
    return set(samples_of(folder))


def split_counts(folder):
    return dict(Counter(sample.split for sample in samples_of(folder).values()))


def test_the_count_is_exact_and_each_split_keeps_its_share(scans, tmp_path):
    summary = choose(scans, count=20)

    assert split_counts(tmp_path / "out") == {TRAIN: 12, VAL: 6, TEST: 2}
    assert (summary.sample_count, summary.available_count) == (20, 100)
    assert (summary.chosen_units, summary.available_units) == (20, 100)


def test_a_fraction_is_rounded_to_a_whole_number(scans, tmp_path):
    assert choose(scans, fraction=0.204).sample_count == 20
    assert choose(scans, "all", fraction=1).sample_count == 100
    assert lines_of(tmp_path / "all") == lines_of(scans)


def test_each_stratum_keeps_its_share_in_each_split(scans, tmp_path):
    summary = choose(scans, count=50, stratify=Stratify.TASK)

    cells = Counter((sample.split, sample.task) for sample in samples_of(tmp_path / "out").values())
    assert cells == {
        (TRAIN, Task.VQA): 24, (TRAIN, Task.COUNTING): 6, (VAL, Task.VQA): 12, (VAL, Task.COUNTING): 3,
        (TEST, Task.VQA): 4, (TEST, Task.COUNTING): 1,
    }  # fmt: skip
    assert summary.strata == {"counting": (10, 20), "vqa": (40, 80)}


def test_lines_stay_as_they_are_and_in_order(scans, tmp_path):
    choose(scans, count=37, stratify=Stratify.TASK)

    lines = lines_of(tmp_path / "out")
    assert lines == [line for line in lines_of(scans) if line in set(lines)]
    assert len(lines) == 37


def test_only_images_in_use_are_there(scans, tmp_path):
    choose(scans, count=10)

    assert images_in(tmp_path / "out") == images_of(samples_of(tmp_path / "out").values())
    assert len(images_in(tmp_path / "out")) < len(images_in(scans))


def test_the_choice_depends_on_seed_and_id_alone(tmp_path):
    """In each split those with the smallest number drawn from seed and id are chosen."""
    names = [f"scène {n}" for n in range(40)]
    one = write_set(tmp_path / "one", [Given(name, "a", greys=[]) for name in names])
    other = write_set(tmp_path / "other", [Given(name, name, greys=[3], fields=COUNTING) for name in names[::-1]])

    for folder in (one, other):
        sample_dataset(folder, tmp_path / f"{folder.name}-out", SampleSettings(count=15, seed=4))

    expected = set(sorted(names, key=lambda name: uniform_from_key(f"4/{name}"))[:15])
    assert ids(tmp_path / "one-out") == ids(tmp_path / "other-out") == expected


@pytest.mark.parametrize("by_group", [False, True])
def test_equal_input_gives_equal_bytes_and_the_seed_another_choice(scans, tmp_path, by_group):
    for name, seed in (("a/out", 0), ("b/out", 0), ("c/out", 1)):
        (tmp_path / name).parent.mkdir()
        choose(scans, name, fraction=0.4, by_group=by_group, seed=seed, stratify=Stratify.CLASS)

    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")
    assert ids(tmp_path / "a/out") != ids(tmp_path / "c/out")


@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.parametrize("stratify", list(Stratify))
def test_a_smaller_choice_is_part_of_a_larger_one(scans, tmp_path, by_group, stratify):
    chosen = []
    for count in (1, 3, 4, 9, 13, 20):
        choose(scans, str(count), count=count, by_group=by_group, stratify=stratify)
        chosen.append(ids(tmp_path / str(count)))

    assert all(small < large for small, large in itertools.pairwise(chosen))


def test_groups_are_chosen_whole(scans, tmp_path):
    summary = choose(scans, count=10, by_group=True)

    groups = Counter(sample.group for sample in samples_of(tmp_path / "out").values())
    assert set(groups.values()) == {5}
    # Of 12, 6 and 2 groups.
    assert Counter(group.split()[0] for group in groups) == {"train": 6, "val": 3, "test": 1}
    assert (summary.chosen_units, summary.available_units, summary.sample_count) == (10, 20, 50)


@pytest.mark.parametrize("seed", range(5))
def test_a_group_belongs_to_the_stratum_of_most_of_its_samples(tmp_path, seed):
    samples = []
    for n in range(20):
        counts = 3 if n < 5 else 0  # of 4; five groups mostly count
        samples += [Given(f"{n}/{k}", f"g{n}", greys=[], fields=COUNTING if k < counts else {}) for k in range(4)]
    one = write_set(tmp_path / "one", samples)

    chosen = SampleSettings(count=8, by_group=True, stratify=Stratify.TASK, seed=seed)
    sample_dataset(one, tmp_path / "out", chosen)

    groups = {sample.group for sample in samples_of(tmp_path / "out").values()}
    assert len(groups & {f"g{n}" for n in range(5)}) == 2
    assert len(groups) == 8


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from([(), (1,), (1, 2)])), min_size=2, max_size=40),
    st.floats(0.05, 0.95),
    st.booleans(),
    st.sampled_from(list(Stratify)),
    st.integers(0, 2),
)
def test_a_choice_and_its_complement_are_the_whole(members, fraction, by_group, stratify, seed):
    samples = [
        Given(f"ü/{n}", f"g{group}", Split(("train", "val", "test")[group % 3]), greys, COUNTING if n % 3 == 0 else {})
        for n, (group, greys) in enumerate(members)
    ]
    with tempfile.TemporaryDirectory() as name:
        whole = write_set(Path(name) / "whole", samples)
        parts = [Path(name) / "part", Path(name) / "rest"]
        for folder, complement in zip(parts, (False, True), strict=True):
            try:
                sample_dataset(
                    whole,
                    folder,
                    SampleSettings(
                        fraction=fraction, by_group=by_group, stratify=stratify, seed=seed, complement=complement
                    ),
                )
            except (NothingToDoError, UsageError):  # all or none were chosen
                return
        part, rest = (samples_of(folder) for folder in parts)
        assert not part.keys() & rest.keys()
        unit = (lambda given: given.group) if by_group else (lambda given: given.id)
        assert len({unit(sample) for sample in part.values()}) == round(
            fraction * len({unit(sample) for sample in samples})
        )
        if by_group:
            assert not {sample.group for sample in part.values()} & {sample.group for sample in rest.values()}
        merge_datasets(parts, Path(name) / "merged")
        assert sorted(lines_of(Path(name) / "merged")) == sorted(lines_of(whole))
        for folder in (*parts, Path(name) / "merged"):
            assert images_in(folder) == images_of(samples_of(folder).values())


def test_what_was_left_out_and_where_it_came_from_is_passed_on(tmp_path):
    sources = [{"uri": "a.tif", "sha256": "0", "size_bytes": 3}]
    one = write_set(
        tmp_path / "one", [Given("a"), Given("b")], rejects=[Reject("c", "read", "decode", "cut")], sources=sources
    )

    manifest = sample_dataset(one, tmp_path / "out", SampleSettings(count=1, seed=2)).manifest

    assert manifest == read_manifest(tmp_path / "out")
    assert (tmp_path / "out" / "rejects.jsonl").read_bytes() == (one / "rejects.jsonl").read_bytes()
    assert (manifest["command"], manifest["sources"], manifest["licence"]) == ("sample", sources, "CC0-1.0")
    assert manifest["versions"] == {"domainvl": __version__}
    assert manifest["settings"].pop("data_set")["name"] == "one"
    assert manifest["settings"] == {
        "by": "sample", "count": 1, "fraction": None, "stratify": "none", "seed": 2, "complement": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "rule"),
    [
        ({}, "either --count or --fraction must be given"),
        ({"count": 1, "fraction": 0.5}, "either --count or --fraction must be given"),
        ({"count": 0}, "--count must be 1 or more, got 0"),
        ({"fraction": 0.0}, "--fraction must lie above 0 and not above 1, got 0"),
        ({"fraction": 1.5}, "--fraction must lie above 0 and not above 1, got 1.5"),
        ({"fraction": float("nan")}, "--fraction must lie above 0 and not above 1, got nan"),
        ({"count": 101}, "--count must not be above 100, the number of samples, got 101"),
        ({"count": 21, "by_group": True}, "--count must not be above 20, the number of groups, got 21"),
        ({"fraction": 0.001}, "--fraction 0.001 of 100 samples is none"),
    ],
)
def test_what_cannot_be_met_is_refused(scans, tmp_path, chosen, rule):
    with pytest.raises(UsageError, match=rule):
        choose(scans, **chosen)

    assert [path.name for path in tmp_path.iterdir()] == ["scans"]


def test_nothing_to_choose_from_and_nothing_left_is_nothing_to_do(scans, tmp_path):
    with pytest.raises(NothingToDoError, match="it has no samples"):
        sample_dataset(write_set(tmp_path / "one", []), tmp_path / "out", SampleSettings(count=1))
    with pytest.raises(NothingToDoError, match="all 100 samples go"):
        choose(scans, fraction=1, complement=True)


@pytest.mark.parametrize(
    ("sizes", "count", "shares"),
    [
        # Sainte-Laguë's quotients 53, 17.7, 10.6, 7.6 | 24, 8, 4.8 | 23, 7.7, 4.6: the seven largest.
        ([53, 24, 23], 7, [3, 2, 2]),
        ([1, 1, 1], 2, [1, 1, 0]),
        ([10], 10, [10]),
        ([1, 9], 10, [1, 9]),
        ([100, 1], 50, [50, 0]),
    ],
)
def test_places_are_shared_out_by_hand(sizes, count, shares):
    assert apportion(sizes, count) == shares


@given(st.lists(st.integers(1, 50), min_size=1, max_size=10), st.data())
def test_no_share_is_above_its_size_and_none_falls_when_there_is_more(sizes, data):
    count = data.draw(st.integers(1, sum(sizes)))

    shares = apportion(sizes, count)

    assert sum(shares) == count
    assert all(share <= size for share, size in zip(shares, sizes, strict=True))
    assert all(less <= more for less, more in zip(apportion(sizes, count - 1), shares, strict=True))
