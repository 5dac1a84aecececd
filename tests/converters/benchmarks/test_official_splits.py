"""Images in several official splits: kept on either side or as published, and counted, whatever the benchmark."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from converted import Converted

from domainvl.converters.benchmarks.generate_medical_vqa import generate_vqa_rad
from domainvl.converters.benchmarks.miniatures import generate_dior_rsvg
from domainvl.converters.benchmarks.official_splits import Leakage, OfficialSplits, group_of
from domainvl.converters.benchmarks.reading import image_name_of
from domainvl.errors import ItemError


@dataclass(frozen=True)
class Row:
    official_split: str
    name: str


def rows(**counts: int) -> list[Row]:
    return [Row(split, f"{split} {number}") for split, count in counts.items() for number in range(count)]


IMAGES = {
    "a": rows(train=3, test=1),
    "b": rows(train=2),
    "c": rows(test=4),
    "d": rows(train=1, val=2, test=5),
    "e": rows(val=1),
}


def settle(leakage: Leakage):
    rejects = []
    shared = OfficialSplits(leakage, rejects)
    kept = {name: [row.official_split for row in shared.settle(name, own)] for name, own in IMAGES.items()}
    return {name: set(splits) for name, splits in kept.items()}, rejects, shared.notes(), sum(map(len, kept.values()))


def test_med_71_the_test_side_is_kept_by_default():
    kept, rejects, _, count = settle(Leakage.EXCLUDE_TEST_IMAGES)
    assert kept == {"a": {"test"}, "b": {"train"}, "c": {"test"}, "d": {"test"}, "e": {"val"}}
    assert (count, len(rejects)) == (19 - 6, 6)
    assert {reject.reason for reject in rejects} == {"image-in-test"}
    assert all("exclude-train-images" in reject.action and "as-published" in reject.action for reject in rejects)


def test_med_71_the_training_side_is_kept_on_request():
    kept, rejects, _, count = settle(Leakage.EXCLUDE_TRAIN_IMAGES)
    assert kept == {"a": {"train"}, "b": {"train"}, "c": {"test"}, "d": {"train"}, "e": {"val"}}
    assert (count, len(rejects)) == (19 - 8, 8)
    assert {reject.reason for reject in rejects} == {"image-in-train"}
    assert all("exclude-test-images" in reject.action for reject in rejects)


def test_med_71_as_published_leaves_nothing_out():
    kept, rejects, _, count = settle(Leakage.AS_PUBLISHED)
    assert kept["d"] == {"train", "val", "test"}
    assert (count, rejects) == (19, [])


@pytest.mark.parametrize("leakage", Leakage)
def test_med_71_each_pair_of_splits_is_counted_and_both_ways_out_are_named(leakage):
    notes = settle(leakage)[2]
    # Of test images there are a, c and d, of val images d and e; rows: train 6, val 3, test 10.
    assert [note.partition(".")[0] for note in notes] == [
        "1 of the 2 images of the official val set also occur in the official train set",
        "2 of the 3 images of the official test set also occur in the official train set",
        "1 of the 3 images of the official test set also occur in the official val set",
    ]
    assert "1 of 6 in train and 2 of 3 in val" in notes[0]
    assert "4 of 6 in train and 6 of 10 in test" in notes[1]
    assert "2 of 3 in val and 5 of 10 in test" in notes[2]
    for note in notes:
        assert [other for other in Leakage if f"--leakage {other} " in note] == [
            other for other in Leakage if other is not leakage
        ]


def test_nothing_is_noted_where_no_image_is_shared():
    shared = OfficialSplits(Leakage.EXCLUDE_TEST_IMAGES, [])
    assert len(shared.settle("b", rows(train=2))) == 2
    assert shared.notes() == []


def test_a_shared_group_is_named_apart_and_a_warning_says_of_what_it_is():
    assert group_of("p", "train", ["train", "test"], "paper") == ("p", [])
    group, (warning,) = group_of("p", "test", ["train", "test"], "paper")
    assert group == "p (official test)"
    assert "paper" in warning and "also trained on" in warning


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "a\0.jpg", "."])
def test_a_name_that_leads_out_of_the_folder_is_refused(name):
    with pytest.raises(ItemError) as error:
        image_name_of({"image": name}, "image", "row 1")
    assert error.value.reason == "row-invalid"


def test_a_name_in_a_folder_below_is_taken():
    assert image_name_of({"image": "xmlab0/./source.jpg"}, "image", "row 1") == "xmlab0/source.jpg"


GENERATE = {"dior-rsvg": generate_dior_rsvg, "vqa-rad": generate_vqa_rad}


@pytest.mark.parametrize("name", GENERATE)
def test_med_71_on_either_side_no_image_is_in_two_splits(name, tmp_path):
    GENERATE[name](tmp_path / "in", image_count=10, seed=0)
    for leakage in ("exclude-test-images", "exclude-train-images"):
        done = Converted(name, tmp_path / "in", tmp_path / leakage, leakage=leakage)
        images = [{sample.images[0].path for sample in samples} for samples in done.of_split.values()]
        assert sum(map(len, images)) == len(set.union(*images)) == 10
        assert {reject["severity"] for reject in done.rejects} == {"skipped"}
        assert "also occur in the official" in done.manifest["notes"][0]
