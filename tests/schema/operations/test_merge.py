"""Merging keeps every sample once, divides no group, and mixes up neither ids nor images."""

from __future__ import annotations

import json

import pytest
from whole_sets import (
    Given,
    content_of,
    edit_lines,
    images_in,
    images_of,
    lines_of,
    samples_of,
    write_set,
)

from domainvl import __version__
from domainvl.errors import DatasetError, NothingToDoError, UsageError
from domainvl.files import hash_file
from domainvl.schema import Reject, Severity, Split, SplitFractions, read_manifest
from domainvl.schema.operations import SampleSettings, Stratify, merge_datasets, sample_dataset, split_dataset

TRAIN, VAL, TEST = Split


@pytest.fixture
def ships(tmp_path):
    return write_set(
        tmp_path / "ships", [Given("s/2", "s"), Given("s/1", "s", greys=[1, 2]), Given("t/1", "t", TEST, [])]
    )


@pytest.fixture
def planes(tmp_path):
    return write_set(tmp_path / "planes", [Given("p/ü", "p", greys=[2]), Given("q/1", "q", TEST, [9])])


def merge(tmp_path, *datasets, **options):
    return merge_datasets(datasets, tmp_path / "out", **options)


def ids_in(path):
    return [json.loads(line)["id"] for line in path.read_text("utf-8").splitlines()]


def test_samples_follow_each_other_as_they_stand(tmp_path, ships, planes):
    summary = merge(tmp_path, ships, planes)

    for split in Split:
        name = f"{split}.jsonl"
        assert (tmp_path / "out" / name).read_bytes() == (ships / name).read_bytes() + (planes / name).read_bytes()
    assert summary.sample_count == len(samples_of(tmp_path / "out")) == 5
    assert [(part.sample_count, part.repeated_count, part.prefix) for part in summary.inputs] == [
        (3, 0, ""),
        (2, 0, ""),
    ]
    assert images_in(tmp_path / "out") == images_in(ships) | images_in(planes)
    assert images_in(tmp_path / "out") == images_of(samples_of(tmp_path / "out").values())


def test_the_order_is_that_of_the_inputs(tmp_path, ships, planes):
    merge(tmp_path, planes, ships)

    assert ids_in(tmp_path / "out" / "train.jsonl") == ["p/ü", "s/2", "s/1"]


def test_equal_inputs_give_equal_bytes(tmp_path, ships, planes):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        merge_datasets([ships, planes], tmp_path / name / "out", prefix=True)

    assert content_of(tmp_path / "a") == content_of(tmp_path / "b")


def test_identical_samples_are_taken_once(tmp_path, ships):
    copy = write_set(tmp_path / "copy", [Given("s/1", "s", greys=[1, 2]), Given("new", "n")])
    edit_lines(copy, TRAIN, lambda record: dict(sorted(record.items(), reverse=True)))  # the order of keys says nothing

    summary = merge(tmp_path, ships, copy)

    assert ids_in(tmp_path / "out" / "train.jsonl") == ["s/2", "s/1", "new"]
    assert [(part.sample_count, part.repeated_count) for part in summary.inputs] == [(3, 0), (1, 1)]
    told = read_manifest(tmp_path / "out")["settings"]["data_sets"]
    assert [(part["samples"], part["repeated"]) for part in told] == [(3, 0), (1, 1)]


@pytest.mark.parametrize(
    "change",
    [
        {"greys": [3]},
        {"fields": {"question": "What else?"}},
        {"fields": {"warnings": ("blurred",)}},
        {"group": "other"},
    ],
)
def test_different_samples_with_the_same_id_are_refused(tmp_path, ships, change):
    other = write_set(tmp_path / "other", [Given("new", "n"), Given(**{"id": "s/2", "group": "s"} | change)])

    with pytest.raises(
        DatasetError,
        match=r"Cannot merge in .*other/train\.jsonl:2: ids must be unique, and 's/2' is also that of another sample, "
        r"in .*ships/train\.jsonl:1\. Add --prefix",
    ):
        merge(tmp_path, ships, other)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("clashing", "line"), [(["s/1", "s/2"], 2), (["s/2", "s/1"], 1)])
def test_the_first_clash_of_ids_is_named(tmp_path, ships, clashing, line):
    other = write_set(tmp_path / "other", [Given("x"), *(Given(name) for name in clashing)])

    with pytest.raises(DatasetError, match=rf"other/train\.jsonl:2: .*'{clashing[0]}' .*ships/train\.jsonl:{line}"):
        merge(tmp_path, ships, other)


def test_a_prefix_tells_equal_ids_and_groups_apart(tmp_path, ships):
    other = write_set(tmp_path / "other", [Given("s/2", "s", TEST, [4])], name="more ships")

    summary = merge(tmp_path, ships, other, prefix=True)

    after = samples_of(tmp_path / "out")
    assert {sample.id: (sample.group, sample.split) for sample in after.values()} == {
        "ships/s/2": ("ships/s", TRAIN),
        "ships/s/1": ("ships/s", TRAIN),
        "ships/t/1": ("ships/t", TEST),
        "more ships/s/2": ("more ships/s", TEST),
    }
    assert [part.prefix for part in summary.inputs] == ["ships/", "more ships/"]


def test_prefixes_of_equal_names_are_numbered(tmp_path):
    named = [
        write_set(tmp_path / str(n), [Given("a", greys=[n])], name=name) for n, name in enumerate(["x", "x", "x-2"])
    ]

    merge(tmp_path, *named, prefix=True)

    assert set(samples_of(tmp_path / "out")) == {"x/a", "x-2/a", "x-2-2/a"}


def test_with_a_prefix_identical_samples_are_still_taken_once(tmp_path, ships):
    copy = write_set(tmp_path / "copy", [Given("s/2", "s"), Given("s/9", "s")])

    merge(tmp_path, ships, copy, prefix=True)

    assert set(samples_of(tmp_path / "out")) == {"ships/s/2", "ships/s/1", "ships/t/1", "copy/s/9"}


def test_an_id_that_is_there_twice_in_one_data_set_is_refused_even_with_a_prefix(tmp_path, ships, planes):
    with (planes / "train.jsonl").open("a") as file:
        file.write((planes / "train.jsonl").read_text().replace("What is it?", "What else?"))

    with pytest.raises(DatasetError, match=r"planes/train\.jsonl:2: .*'p/ü' .*planes/train\.jsonl:1"):
        merge(tmp_path, ships, planes, prefix=True)


@pytest.mark.parametrize(("first", "second"), [(TRAIN, VAL), (VAL, TEST), (TEST, TRAIN)])
def test_a_group_in_two_splits_is_refused_by_name(tmp_path, first, second):
    one = write_set(tmp_path / "one", [Given("x", "x"), Given("a/1", "größe 7", first)])
    two = write_set(tmp_path / "two", [Given("y", "y"), Given("a/2", "größe 7", second)])

    with pytest.raises(DatasetError, match=r"'größe 7' is in (\w+) here and in (\w+) in .*domainvl split") as caught:
        merge(tmp_path, one, two)

    for name, split in (("one", first), ("two", second)):
        line = 2 if split is TRAIN else 1
        assert f"{name}/{split}.jsonl:{line}" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_group_whose_split_the_source_fixes_must_be_converted_again(tmp_path):
    one = write_set(tmp_path / "one", [Given("a/1", "g", TEST, fields={"fixed_split": TEST}), Given("x", "x")])
    two = write_set(tmp_path / "two", [Given("a/2", "g", TRAIN)])

    with pytest.raises(
        DatasetError, match=r"convert both again .*--split-by, --val-fraction, --test-fraction"
    ) as caught:
        merge(tmp_path, one, two)
    assert "Draw the splits" not in str(caught.value)
    # That advice would not help: a fixed split stays.
    for name in ("one", "two"):
        split_dataset(tmp_path / name, tmp_path / f"{name}-split", fractions=SplitFractions(val=0.0, test=0.0))
    with pytest.raises(DatasetError, match="a group is never divided"):
        merge(tmp_path, tmp_path / "one-split", tmp_path / "two-split")


@pytest.mark.parametrize(
    ("first", "second", "is_told"),
    [
        ("scene", "log", True),
        ("official", "scene", True),
        (None, "log", True),
        (None, "scene", False),
        (None, "official", False),
        (None, None, False),
        ("log", "log", False),
        ("log", ..., False),
    ],
)
def test_drv_40_sets_that_are_split_by_different_things_are_noted(tmp_path, first, second, is_told):
    def write(name, value):
        settings = {} if value is ... else {"split_by": value}
        return write_set(tmp_path / name, [Given(name, name, greys=[len(name)])], settings=settings)

    summary = merge(tmp_path, write("a", first), write("bb", second))
    assert bool(summary.notes) is is_told
    assert summary.manifest.get("notes", []) == list(summary.notes)
    assert all("same --split-by" in note and "domainvl validate" in note for note in summary.notes)

    # What was merged before says by its parts how it was split.
    (tmp_path / "out").rename(tmp_path / "before")
    assert bool(merge(tmp_path, tmp_path / "before", write("ccc", ...)).notes) is is_told


def test_the_advice_for_a_group_in_two_splits_works(tmp_path):
    groups = [f"g{n}" for n in range(20)]
    one = write_set(tmp_path / "one", [Given(f"a/{group}", group) for group in groups])
    two = write_set(tmp_path / "two", [Given(f"b/{group}", group, TEST) for group in groups])
    fractions = SplitFractions(val=0.3, test=0.3)

    split_dataset(one, tmp_path / "one-split", fractions=fractions)
    split_dataset(two, tmp_path / "two-split", fractions=fractions)

    assert merge(tmp_path, tmp_path / "one-split", tmp_path / "two-split").sample_count == 40


def test_what_was_left_out_is_listed_one_after_the_other(tmp_path):
    reject = Reject("ü.tif", "read", "decode", "it is cut short", "Fetch it again")
    skipped = Reject("b.tif", "plan", "unwanted", "no label", severity=Severity.SKIPPED)
    one = write_set(tmp_path / "one", [Given("a", "a")], rejects=[reject, skipped])
    two = write_set(tmp_path / "two", [Given("b", "b")], rejects=[reject])

    merge(tmp_path, one, two)

    expected = (one / "rejects.jsonl").read_bytes() + (two / "rejects.jsonl").read_bytes()
    assert (tmp_path / "out" / "rejects.jsonl").read_bytes() == expected
    assert read_manifest(tmp_path / "out")["rejects"] == [
        {"severity": "failed", "stage": "read", "reason": "decode", "count": 2},
        {"severity": "skipped", "stage": "plan", "reason": "unwanted", "count": 1},
    ]


def test_the_manifest_says_what_was_merged(tmp_path):
    shared, own, newer = (
        {"uri": uri, "sha256": sha256, "size_bytes": 1} for uri, sha256 in (("a", "0"), ("b", "0"), ("a", "1"))
    )
    one = write_set(
        tmp_path / "one", [Given("a", "a")], sources=[shared, own], versions={"domainvl": "0.0.1", "gdal": "3.9"}
    )
    two = write_set(
        tmp_path / "two", [Given("b", "b")], sources=[newer, shared], settings={"deep": [1]},
        versions={"gdal": "3.10", "numpy": "2"}, command="convert geotiff",
    )  # fmt: skip

    manifest = merge(tmp_path, one, two).manifest

    assert manifest == read_manifest(tmp_path / "out")
    assert (manifest["name"], manifest["command"]) == ("out", "merge")
    assert manifest["sources"] == [shared, own, newer]
    assert manifest["versions"] == {"domainvl": __version__, "gdal": "3.9, 3.10", "numpy": "2"}
    assert manifest["settings"]["prefix"] is False
    first, second = manifest["settings"]["data_sets"]
    assert (first["name"], first["command"], first["settings"]) == ("one", "toy", {"grey": 1})
    assert (second["name"], second["command"], second["settings"]) == ("two", "convert geotiff", {"deep": [1]})
    assert first["versions"] == {"domainvl": "0.0.1", "gdal": "3.9"}
    for folder, told in ((one, first), (two, second)):
        assert told["sha256"] == {f"{split}.jsonl": hash_file(folder / f"{split}.jsonl") for split in Split}


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["CC0-1.0", "CC0-1.0"], "CC0-1.0"),
        (["CC0-1.0", "CC-BY-4.0", "CC0-1.0"], "CC0-1.0 AND CC-BY-4.0"),
        (["CC0-1.0", None], "CC0-1.0 AND unknown"),
        ([None, None], None),
        (["MIT AND CC0-1.0", "CC0-1.0", "MIT"], "MIT AND CC0-1.0"),
    ],
)
def test_licences_are_one_or_all(tmp_path, licences, expected):
    sets = [
        write_set(tmp_path / str(n), [Given(f"a{n}", f"g{n}")], licence=licence) for n, licence in enumerate(licences)
    ]

    assert merge(tmp_path, *sets).manifest["licence"] == expected
    card = (tmp_path / "out" / "card.md").read_text()
    parts = (expected or "unknown").split(" AND ")
    assert ("Its parts have different licences" in card) == (len(parts) > 1)
    assert all(f"- {part}" in card.splitlines() for part in parts if len(parts) > 1)


def rename_image(folder, name, content=b"picture"):
    """Give the only image of a data set a name that is no hash, as others do."""
    (old,) = images_in(folder)
    (folder / old).unlink()
    (folder / "images" / name).write_bytes(content)
    edit_lines(folder, TRAIN, lambda record: record | {"image": f"images/{name}"})


def test_one_path_with_two_pictures_is_refused(tmp_path):
    one = write_set(tmp_path / "one", [Given("a", "a")])
    two = write_set(tmp_path / "two", [Given("b", "b")])
    rename_image(one, "1.png", b"a ship")
    rename_image(two, "1.png", b"a plane")

    with pytest.raises(DatasetError, match=r"two/train\.jsonl:1: the image images/1\.png is another one than that of"):
        merge(tmp_path, one, two)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_one_path_with_the_same_picture_is_taken_once(tmp_path):
    one = write_set(tmp_path / "one", [Given("a", "a")])
    two = write_set(tmp_path / "two", [Given("b", "b")])
    rename_image(one, "1.png")
    rename_image(two, "1.png")

    merge(tmp_path, one, two)

    assert images_in(tmp_path / "out") == {"images/1.png"}


def test_equal_pixels_in_other_bytes_are_the_same_picture(tmp_path):
    """Another version of the PNG encoder writes other bytes under the same pixel hash."""
    one = write_set(tmp_path / "one", [Given("a", "a")])
    two = write_set(tmp_path / "two", [Given("b", "b")])
    (name,) = images_in(two)
    (two / name).write_bytes((two / name).read_bytes() + b"trailing")

    merge(tmp_path, one, two)

    assert (tmp_path / "out" / name).read_bytes() == (one / name).read_bytes()


def test_empty_splits_and_an_empty_data_set_are_no_trouble(tmp_path, ships):
    empty = write_set(tmp_path / "empty", [])

    merge(tmp_path, empty, ships)

    assert (tmp_path / "out" / "val.jsonl").read_bytes() == b""
    assert sorted(lines_of(tmp_path / "out")) == sorted(lines_of(ships))


def test_nothing_but_empty_data_sets_is_nothing_to_do(tmp_path):
    with pytest.raises(NothingToDoError, match="none of the data sets has a sample"):
        merge(tmp_path, write_set(tmp_path / "one", []), write_set(tmp_path / "two", []))


def test_fewer_than_two_and_twice_the_same_are_refused(tmp_path, ships):
    (tmp_path / "link").symlink_to(ships)

    with pytest.raises(UsageError, match="it takes two data sets or more, got 1"):
        merge(tmp_path, ships)
    with pytest.raises(UsageError, match="link: this data set is named twice"):
        merge(tmp_path, ships, tmp_path / "link")


def test_merging_after_merging_is_the_same_samples(tmp_path, ships, planes):
    third = write_set(tmp_path / "third", [Given("z", "z", VAL)])
    merge_datasets([ships, planes], tmp_path / "two")
    merge_datasets([tmp_path / "two", third], tmp_path / "nested")
    merge_datasets([ships, planes, third], tmp_path / "flat")

    assert lines_of(tmp_path / "nested") == lines_of(tmp_path / "flat")


@pytest.mark.parametrize("by_group", [False, True])
def test_a_sample_and_its_complement_merge_to_the_whole(tmp_path, by_group):
    whole = write_set(
        tmp_path / "whole",
        [Given(f"s{n}", f"g{n % 13}", Split(("train", "val", "test")[n % 13 % 3]), [n % 5]) for n in range(52)],
    )
    for name, complement in (("part", False), ("rest", True)):
        chosen = SampleSettings(fraction=0.3, by_group=by_group, stratify=Stratify.TASK, seed=3, complement=complement)
        sample_dataset(whole, tmp_path / name, chosen)

    merge(tmp_path, tmp_path / "part", tmp_path / "rest")

    assert sorted(lines_of(tmp_path / "out")) == sorted(lines_of(whole))
    assert 0 < len(samples_of(tmp_path / "part")) < 52
