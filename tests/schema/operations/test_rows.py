"""What all operations ask of their inputs, and where they never write."""

from __future__ import annotations

import json

import pytest
from whole_sets import Given, content_of, edit_lines, edit_manifest, lines_of, write_set

from domainvl.errors import DatasetError, InputNotFoundError, UsageError
from domainvl.schema import Split, SplitFractions
from domainvl.schema.operations import SampleSettings, diff_datasets, merge_datasets, sample_dataset, split_dataset
from domainvl.schema.operations.rows import canonical


@pytest.fixture
def one(tmp_path):
    return write_set(tmp_path / "one", [Given("a/1"), Given("a/2", greys=[8]), Given("b/1", "h", Split.TEST)])


@pytest.fixture
def other(tmp_path):
    return write_set(tmp_path / "other", [Given("c/1", "c")])


OPERATIONS = {
    "merge": lambda one, other, out: merge_datasets([one, other], out),
    "split": lambda one, other, out: split_dataset(one, out, fractions=SplitFractions(val=0, test=0)),
    "sample": lambda one, other, out: sample_dataset(one, out, SampleSettings(count=1)),
    "diff": lambda one, other, out: diff_datasets(one, other),
}
WRITING = ["merge", "split", "sample"]


@pytest.fixture(params=OPERATIONS)
def operate(request):
    return OPERATIONS[request.param]


@pytest.mark.parametrize("name", ["train.jsonl", "val.jsonl", "test.jsonl", "manifest.json", "rejects.jsonl"])
def test_a_missing_file_is_refused_by_name(one, other, tmp_path, operate, name):
    (one / name).unlink()

    with pytest.raises(InputNotFoundError, match=f"one: {name} is missing"):
        operate(one, other, tmp_path / "out")


def test_a_missing_folder_is_refused(one, tmp_path, operate):
    with pytest.raises(InputNotFoundError, match="nowhere: there is no such folder"):
        operate(tmp_path / "nowhere", one, tmp_path / "out")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b"", "each line must be one JSON object"),
        (b"{", "each line must be one JSON object"),
        (b"[1]", "each line must be one JSON object"),
        (b'{"id": "\xff"}', "each line must be one JSON object"),
        (b'{"id": NaN}', "numbers must be finite, got NaN"),
        (b'{"id": "x"}', "the key 'domainvl' is missing"),
    ],
)
def test_a_wrong_line_is_refused_by_file_and_number(one, other, tmp_path, operate, line, rule):
    with (one / "test.jsonl").open("ab") as file:
        file.write(line + b"\n")

    with pytest.raises(DatasetError, match=rf"one/test\.jsonl:2: .*{rule}"):
        operate(one, other, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_sample_in_the_file_of_another_split_is_refused(one, other, tmp_path, operate):
    (one / "val.jsonl").write_bytes((one / "test.jsonl").read_bytes())

    with pytest.raises(DatasetError, match=r"one/val\.jsonl:1: it must stand in the file of its split, which is test"):
        operate(one, other, tmp_path / "out")


@pytest.mark.parametrize(
    "path",
    ["/etc/hostname", "images/../../secret.png", "images/./a.png", "images/a\\b.png", "manifest.json", "images/"],
)
def test_an_image_outside_of_the_images_is_refused(one, other, tmp_path, operate, path):
    edit_lines(one, Split.TEST, lambda record: record | {"image": path})
    (tmp_path / "secret.png").write_bytes(b"secret")

    with pytest.raises(DatasetError, match=r"one/test\.jsonl:1: its path must lie below images/"):
        operate(one, other, tmp_path / "out")


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"licence": 3}, "licence must be text or null, got 3"),
        ({"settings": None}, "settings must be an object, got null"),
        ({"versions": []}, r"versions must be an object, got \[\]"),
        ({"sources": {}}, r"sources must be a list, got \{\}"),
        ({"name": None}, "name must be text, got null"),
        ({"command": 1}, "command must be text, got 1"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(one, other, tmp_path, operate, facts, rule):
    edit_manifest(one, **facts)

    with pytest.raises(DatasetError, match=f"Unreadable manifest in .*one: {rule}"):
        operate(one, other, tmp_path / "out")


@pytest.mark.parametrize("operation", WRITING)
@pytest.mark.parametrize("line", ["{", '{"input": "a"}', '{"severity": "odd"}', '{"severity": "failed", "odd": 1}'])
def test_a_wrong_reject_is_refused_and_nothing_is_written(one, other, tmp_path, operation, line):
    (one / "rejects.jsonl").write_text(line + "\n")

    with pytest.raises(DatasetError, match=r"one/rejects\.jsonl:1"):
        OPERATIONS[operation](one, other, tmp_path / "out")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


@pytest.mark.parametrize("operation", WRITING)
def test_an_image_that_is_not_there_is_refused_and_nothing_is_written(one, other, tmp_path, operation):
    for path in (one / "images").rglob("*.png"):
        path.unlink()

    with pytest.raises(DatasetError, match=r"Cannot take over an image in .*one/images/.*: there is no such file"):
        OPERATIONS[operation](one, other, tmp_path / "out")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


@pytest.mark.parametrize("operation", WRITING)
@pytest.mark.parametrize("place", ["one", ".", "one/inside", "one/images", "link", "one/../one"])
def test_an_output_that_is_or_holds_or_lies_in_an_input_is_refused(one, other, tmp_path, operation, place):
    (tmp_path / "link").symlink_to(one)
    before = content_of(tmp_path)

    with pytest.raises(UsageError, match=r"it must not be the input .*one, contain it or lie inside it"):
        OPERATIONS[operation](one, other, tmp_path / place)

    assert content_of(tmp_path) == before


@pytest.mark.parametrize("operation", WRITING)
@pytest.mark.parametrize("name", [".out.partial", ".out.old"])
def test_an_input_with_the_name_of_a_hidden_folder_is_refused(one, other, tmp_path, operation, name):
    """It would be emptied before it is read."""
    hidden = one.rename(tmp_path / name)
    before = content_of(tmp_path)

    with pytest.raises(UsageError, match=rf"it must not be the input .*{name}"):
        OPERATIONS[operation](hidden, other, tmp_path / "out")

    assert content_of(tmp_path) == before


@pytest.mark.parametrize("operation", WRITING)
def test_a_taken_output_is_refused_before_anything_is_read(one, other, tmp_path, operation):
    (tmp_path / "out").mkdir()
    (one / "train.jsonl").write_text("broken")

    with pytest.raises(UsageError, match="out: it exists"):
        OPERATIONS[operation](one, other, tmp_path / "out")


@pytest.mark.parametrize("operation", WRITING)
def test_keys_of_third_parties_stay(one, other, tmp_path, operation):
    for split in Split:
        edit_lines(one, split, lambda record: {"weight": 2.5} | record)

    OPERATIONS[operation](one, other, tmp_path / "out")

    records = [json.loads(line) for line in lines_of(tmp_path / "out")]
    assert all(record["weight"] == 2.5 for record in records if not record["id"].startswith("c"))
    assert records


@pytest.mark.parametrize("operation", WRITING)
def test_images_are_taken_over_without_looking_at_them(one, other, tmp_path, operation):
    """No operation decodes an image: what is no image is taken over as well, byte for byte."""
    for index, path in enumerate(sorted((one / "images").rglob("*.png"))):
        path.write_bytes(b"no image %d" % index)
    before = content_of(one)

    OPERATIONS[operation](one, other, tmp_path / "out")

    taken = {name: content for name, content in content_of(tmp_path / "out").items() if name in before}
    images = {name for name in taken if name.startswith("images/")}
    assert images
    assert all(taken[name] == before[name] for name in images)
    assert content_of(one) == before


def test_equal_values_are_equal_texts():
    assert canonical({"b": [1, {"d": None, "c": "ü"}], "a": 1.5}) == canonical(
        {"a": 1.5, "b": [1, {"c": "ü", "d": None}]}
    )
    assert canonical([1, 2]) != canonical([2, 1])
    assert canonical(1) != canonical("1")
