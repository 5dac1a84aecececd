"""Reading back: what was written, and for a broken line its file, number, rule and next action."""

from __future__ import annotations

import json

import pytest
from builders import make_image, make_sample

from domainvl.errors import DatasetError, ExitCode, InputNotFoundError
from domainvl.schema import DatasetWriter, SampleFile, Split, read_manifest, read_samples, spread

SAMPLES = [make_sample(f"é/{n}", question=f"Größe {n}?\u2028\x85", images=[make_image(f"{n}.png")]) for n in range(5)]


@pytest.fixture
def dataset(tmp_path):
    with DatasetWriter(tmp_path / "data", name="n") as writer:
        for sample in SAMPLES:
            writer.add(sample)
        writer.finish(command="toy", settings={}, sources=[], versions={})
    return tmp_path / "data"


def replace_line(dataset, number, text):
    path = dataset / "train.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[number - 1] = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(b"\n".join(lines))


def read_all(dataset):
    return list(read_samples(dataset, Split.TRAIN))


def open_all(dataset):
    return list(SampleFile(dataset, Split.TRAIN))


def test_what_was_written_is_read(dataset):
    assert read_all(dataset) == SAMPLES
    assert list(read_samples(dataset, Split.VAL)) == []


def test_samples_by_index(dataset):
    samples = SampleFile(dataset, Split.TRAIN)

    assert len(samples) == 5
    assert [samples[index] for index in (3, 0, 4)] == [SAMPLES[3], SAMPLES[0], SAMPLES[4]]
    assert samples[-1] == SAMPLES[-1]
    assert samples[1:4:2] == SAMPLES[1:4:2]
    assert list(samples) == SAMPLES
    with pytest.raises(IndexError):
        samples[5]
    assert len(SampleFile(dataset, Split.TEST)) == 0


@pytest.mark.parametrize("read", [read_all, open_all])
@pytest.mark.parametrize("images", [0, 2])
def test_a_wrong_number_of_placeholders_is_named_with_its_line(dataset, read, images):
    record = json.loads((dataset / "train.jsonl").read_text(encoding="utf-8").split("\n")[2])
    record["conversations"][0]["value"] = "<image>" * images + "What?"
    replace_line(dataset, 3, json.dumps(record))

    with pytest.raises(DatasetError) as caught:
        read(dataset)

    message = str(caught.value)
    assert message == (
        f"Invalid sample 'é/2' in {dataset / 'train.jsonl'}:3: the number of <image> placeholders must equal the "
        f"number of images: {images} placeholders, 1 images. Make the data set again with domainvl convert."
    )
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("read", [read_all, open_all])
@pytest.mark.parametrize("text", ["{", "", "null", "[]", "3", b"\xff\xfe", '{"id": 1}', "{} {}"])
def test_a_line_that_is_no_record_is_named(dataset, read, text):
    replace_line(dataset, 2, text)

    with pytest.raises(DatasetError, match=r"train\.jsonl:2: .*Make the data set again"):
        read(dataset)


def test_lines_before_a_broken_one_are_given(dataset):
    replace_line(dataset, 4, "{")
    reader = read_samples(dataset, Split.TRAIN)

    assert [next(reader) for _ in range(3)] == SAMPLES[:3]
    with pytest.raises(DatasetError):
        next(reader)


@pytest.mark.parametrize(
    "read", [read_all, open_all, read_manifest], ids=["read_samples", "SampleFile", "read_manifest"]
)
def test_what_is_not_there_is_named(tmp_path, read):
    (tmp_path / "empty").mkdir()

    with pytest.raises(InputNotFoundError, match="nowhere: there is no such folder.*domainvl convert"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputNotFoundError, match=r"empty: (train\.jsonl|manifest\.json) is missing"):
        read(tmp_path / "empty")


@pytest.mark.parametrize("text", [b"{", b"", b"[]", b"\xff"])
def test_a_broken_manifest_is_named(dataset, text):
    (dataset / "manifest.json").write_bytes(text)

    with pytest.raises(DatasetError, match=r"manifest\.json: .*Make the data set again"):
        read_manifest(dataset)


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [(10, None, [*range(10)]), (10, 3, [0, 3, 6]), (5, 4, [0, 1, 2, 3]), (10, 0, []), (3, 10, [0, 1, 2]), (0, 5, [])],
)
def test_spread(size: int, count: int | None, expected: list[int]) -> None:
    assert spread(size, count) == expected
