"""Canonical to another format and back keeps text, boxes and the order of images; what cannot be kept is listed."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from builders import make_image, make_sample
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from varied import STRANGE

from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, ItemError, NothingToDoError, OutputError
from domainvl.errors import UsageError as OurUsageError
from domainvl.schema import BoxesAnswer, DatasetWriter, Object, Sample, Source, Split, Task, TextAnswer
from domainvl.schema.exchange import ImageMode, export_dataset, format_names, load_format, read_exported
from domainvl.schema.exchange.export import express
from domainvl.schema.exchange.formats import PlacedImage

FORMATS = [name for name in format_names() if name != "vlmevalkit"]
"""Those that can express every sample; the other has tests of its own."""
TEXT_FORMATS = [name for name in FORMATS if name != "hub"]
KEEPS_IDS = [name for name in FORMATS if name != "openai"]


def place(sample: Sample, mode: ImageMode) -> list[PlacedImage]:
    return [PlacedImage(image.path, Path("/data") / image.path, mode) for image in sample.images]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def several(text: str, count: int, out: Path, *, size_px: int = 4) -> Path:
    """Write a data set of equal samples with one image."""
    with DatasetWriter(out, name="several") as writer:
        pixels = np.random.default_rng(0).integers(0, 256, (size_px, size_px, 3), dtype=np.uint8)
        image = writer.images.put_pixels(pixels).to_image(Source(uri="a"))
        for number in range(count):
            writer.add(make_sample(f"s{number}", question=text, images=[image]))
        writer.finish(command="several", settings={}, sources=[], versions={})
    return out


@pytest.mark.parametrize("split", list(Split))
@pytest.mark.parametrize("name", FORMATS)
def test_text_and_boxes_and_order_come_back(varied, exported, name, split):
    back = list(read_exported(exported(name), name, split))

    assert [sample.turns for sample in back] == [sample.turns for sample in varied.of(split)]
    expected = [tuple(image.path for image in sample.images) for sample in varied.of(split)]
    assert [sample.images for sample in back] == expected
    ids = [sample.id if name in KEEPS_IDS else None for sample in varied.of(split)]
    assert [sample.id for sample in back] == ids


@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_images_lie_beside_the_rows_and_are_the_same_files(varied, exported, name):
    shown = {image.path for sample in varied.samples for image in sample.images}
    out = exported(name)

    assert {path for path in files_of(out) if path.startswith("images/")} == shown
    for path in shown:
        assert (out / path).samefile(varied.folder / path)


@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_copies_are_files_of_their_own(varied, tmp_path, name):
    export_dataset(varied.folder, tmp_path / "out", format_name=name, images=ImageMode.COPY)

    for sample in varied.samples:
        for image in sample.images:
            copied, original = tmp_path / "out" / image.path, varied.folder / image.path
            assert copied.read_bytes() == original.read_bytes()
            assert not copied.samefile(original)


@pytest.mark.parametrize("name", FORMATS)
def test_references_are_absolute_and_no_image_is_stored(varied, tmp_path, name):
    out = tmp_path / "out"
    export_dataset(varied.folder, out, format_name=name, images=ImageMode.REFERENCE)

    assert not (out / "images").exists()
    back = list(read_exported(out, name, Split.TRAIN))
    assert [sample.turns for sample in back] == [sample.turns for sample in varied.of(Split.TRAIN)]
    # InternVL's rows stay relative; its meta file names the folder.
    root = varied.folder if name != "internvl" else Path()
    expected = [tuple((root / image.path).as_posix() for image in one.images) for one in varied.of(Split.TRAIN)]
    assert [sample.images for sample in back] == expected


@pytest.mark.parametrize("name", FORMATS)
def test_two_exports_are_byte_identical(varied, exported, tmp_path, name):
    export_dataset(varied.folder, tmp_path / "elsewhere" / "again", format_name=name)

    assert files_of(tmp_path / "elsewhere" / "again") == files_of(exported(name))


@pytest.mark.parametrize("name", FORMATS)
def test_the_note_says_what_was_exported_how(varied, exported, name):
    note = json.loads((exported(name) / "export.json").read_text(encoding="utf-8"))

    manifest = hashlib.sha256((varied.folder / "manifest.json").read_bytes()).hexdigest()
    assert note["format"] == name
    assert note["dataset"] == "varied"
    assert note["dataset_manifest_sha256"] == manifest
    assert note["licence"] == "CC0-1.0"
    assert note["images"] == ("embed" if name == "hub" else "link")
    assert note["counts"] == {"train": 14, "val": 1, "test": 2}
    assert note["several_images"] == 3  # views, turns, frames
    assert note["left_out"] == []


def test_only_the_splits_that_are_asked_for(varied, tmp_path):
    summary = export_dataset(varied.folder, tmp_path / "out", format_name="sharegpt", splits=[Split.VAL, Split.TEST])

    assert summary.counts == {Split.VAL: 1, Split.TEST: 2}
    assert [name for name in names_in(tmp_path / "out") if name.endswith("l")] == ["test.jsonl", "val.jsonl"]


def test_an_empty_split_gets_no_file(tmp_path):
    several("What?", 2, tmp_path / "data")

    assert export_dataset(tmp_path / "data", tmp_path / "out", format_name="llava").counts == {Split.TRAIN: 2}
    assert names_in(tmp_path / "out") == ["export.json", "images", "train.json"]


def test_what_cannot_be_expressed_is_listed_and_the_rest_exported(tmp_path):
    with DatasetWriter(tmp_path / "data", name="d") as writer:
        image = writer.images.put_pixels(np.zeros((4, 4), np.uint8)).to_image(Source(uri="a"))
        other = writer.images.put_pixels(np.ones((4, 4), np.uint8)).to_image(Source(uri="b"))
        writer.add(make_sample("good", images=[image]))
        writer.add(make_sample("bad", question="What does <audio> mean?", images=[other]))
        writer.finish(command="d", settings={}, sources=[], versions={})

    summary = export_dataset(tmp_path / "data", tmp_path / "out", format_name="sharegpt")

    assert summary.exit_code is ExitCode.PARTIAL
    assert summary.left_out == {"literal-placeholder": 1}
    assert [sample.id for sample in read_exported(tmp_path / "out", "sharegpt", Split.TRAIN)] == ["good"]
    (reject,) = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert (reject["input"], reject["stage"], reject["severity"]) == ("bad", "export", "failed")
    assert "<audio>" in reject["message"]
    assert json.loads((tmp_path / "out" / "export.json").read_text())["left_out"] == [
        {"reason": "literal-placeholder", "count": 1}
    ]
    # The image that only it shows is not needed.
    assert (tmp_path / "out" / image.path).is_file()
    assert not (tmp_path / "out" / other.path).exists()


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_image_costs_the_samples_that_show_it(varied, tmp_path, name):
    data = shutil.copytree(varied.folder, tmp_path / "data")
    missing = next(sample for sample in varied.samples if sample.id == "frame").images[0].path
    (data / missing).unlink()
    showing = [one.id for one in varied.samples if missing in [image.path for image in one.images]]

    summary = export_dataset(data, tmp_path / "out", format_name=name)

    assert summary.left_out == {"image-missing": len(showing)} == {"image-missing": 3}
    rejects = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert [reject["input"] for reject in rejects] == showing
    assert missing in rejects[0]["message"]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "images/../../x.png", "C:/x.png", "a\\..\\b.png"])
def test_a_path_out_of_the_data_set_is_refused(tmp_path, path):
    data = several("What?", 2, tmp_path / "data")
    first, second = (data / "train.jsonl").read_text().splitlines()
    record = json.loads(second)
    record["image"] = path
    (data / "train.jsonl").write_text(f"{first}\n{json.dumps(record)}\n")
    (tmp_path / "secret.png").write_bytes(b"secret")

    summary = export_dataset(data, tmp_path / "out", format_name="llava")

    assert summary.left_out == {"image-path": 1}
    assert summary.counts == {Split.TRAIN: 1}


def test_nothing_that_can_be_expressed_is_nothing_to_do(tmp_path):
    data = several("What does <audio> mean?", 2, tmp_path / "data")

    with pytest.raises(NothingToDoError, match="none of 2 samples .*<audio>"):
        export_dataset(data, tmp_path / "out", format_name="sharegpt")
    with pytest.raises(NothingToDoError, match="no samples in these splits"):
        export_dataset(data, tmp_path / "out", format_name="sharegpt", splits=[Split.TEST])
    assert names_in(tmp_path) == ["data"]


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("hub", ImageMode.LINK, "--images must be one of embed, reference, got link"),
        ("ms-swift", ImageMode.EMBED, "--images must be one of link, copy, reference, got embed"),
        ("yolo", None, "--format must be one of hub, internvl, llava, ms-swift, openai, sharegpt, vlmevalkit, got 'y"),
    ],
)
def test_what_a_format_does_not_have_is_refused(varied, tmp_path, name, mode, message):
    with pytest.raises(OurUsageError, match=message):
        export_dataset(varied.folder, tmp_path / "out", format_name=name, images=mode)
    assert names_in(tmp_path) == []


def test_an_input_that_is_no_data_set(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such folder"):
        export_dataset(tmp_path / "nowhere", tmp_path / "out", format_name="llava")


def test_a_broken_line_is_told_with_its_number_and_leaves_nothing(tmp_path):
    data = several("What?", 3, tmp_path / "data")
    lines = (data / "train.jsonl").read_text().splitlines()
    (data / "train.jsonl").write_text("\n".join([lines[0], lines[1][:-5], lines[2]]) + "\n")

    with pytest.raises(DatasetError, match=r"train\.jsonl:2"):
        export_dataset(data, tmp_path / "out", format_name="llava")
    assert names_in(tmp_path) == ["data"]


def test_only_an_export_is_overwritten(tmp_path):
    data = several("What?", 3, tmp_path / "data")
    export_dataset(data, tmp_path / "out", format_name="llava")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")

    with pytest.raises(OurUsageError, match="it exists"):
        export_dataset(data, tmp_path / "out", format_name="llava")
    with pytest.raises(OurUsageError, match=r"it has no export\.json"):
        export_dataset(data, tmp_path / "mine", format_name="llava", overwrite=True)
    export_dataset(data, tmp_path / "out", format_name="sharegpt", overwrite=True)

    assert names_in(tmp_path / "out") == ["dataset_info.json", "export.json", "images", "train.jsonl"]
    assert names_in(tmp_path) == ["data", "mine", "out"]
    assert names_in(tmp_path / "mine") == ["thesis.txt"]


@pytest.mark.parametrize("out", ["data", "data/out", "."])
def test_output_and_input_stay_apart(tmp_path, out):
    data = several("What?", 1, tmp_path / "data")

    with pytest.raises(OurUsageError, match="outside"):
        export_dataset(data, tmp_path / out / "" if out != "." else tmp_path, format_name="llava", overwrite=True)
    assert (data / "manifest.json").is_file()


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, name):
    data = several("What? " * 200, 60, tmp_path / "data", size_px=32)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # a write beyond fails with EFBIG
    try:
        with pytest.raises(OutputError, match="Cannot write in"):
            export_dataset(data, tmp_path / "out", format_name=name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names_in(tmp_path) == ["data"]


def test_a_folder_that_cannot_be_made(varied, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OurUsageError, match="Not a directory"):
        export_dataset(varied.folder, tmp_path / "file" / "out", format_name="llava")


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """Two data sets, of which one is larger."""
    folder = tmp_path_factory.mktemp("growing")
    return [several("What is this? " * 400, count, folder / str(count)) for count in (400, 1000)]


@pytest.mark.parametrize("name", FORMATS)
def test_memory_does_not_grow_with_the_samples(growing, tmp_path, name):
    peaks = []
    load_format(name).open_rows(tmp_path, Split.VAL).close()  # imports what it needs
    for data in growing:
        tracemalloc.start()
        export_dataset(data, tmp_path / data.name, format_name=name)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 600 more samples hold 3.4 MB of text alone.
    assert peaks[1] - peaks[0] < 1_000_000


TOKENS = [
    "<image>",
    "<box>",
    "</box>",
    "[[1, 2, 3, 4]]",
    "<ref>",
    "</ref>",
    "<|im_end|>",
    "</s>",
    "<img>",
    "&lt;",
    "\n",
]
STRANGER = ["<audio>", "<bbox>", "<ref-object>", "<video>", "<start-image>", "<cot-process>"]
WORDS = st.lists(st.sampled_from(TOKENS + STRANGER) | st.text(max_size=8), min_size=1, max_size=6).map("".join)
PHRASES = WORDS.filter(lambda text: bool(text.strip()))


@st.composite
def grounded_samples(draw) -> Sample:
    sizes = draw(st.lists(st.tuples(st.integers(1, 3000), st.integers(1, 3000)), min_size=1, max_size=3))
    images = [make_image(f"images/{number}.png", size_px=size_px) for number, size_px in enumerate(sizes)]
    objects = []
    for number in range(draw(st.integers(1, 5))):
        image = draw(st.integers(0, len(images) - 1))
        low_x, high_x = sorted(draw(st.tuples(*[st.floats(0, images[image].width_px)] * 2)))
        low_y, high_y = sorted(draw(st.tuples(*[st.floats(0, images[image].height_px)] * 2)))
        if low_x < high_x and low_y < high_y:
            label = draw(st.sampled_from(["car", "<image>"]) | PHRASES)
            box_px = (low_x, low_y, high_x, high_y)
            objects.append(Object(id=str(number), label=label, image=image, box_px=box_px))
    task = draw(st.sampled_from([Task.DETECTION, Task.GROUNDING, Task.REGION]))
    ids = [thing.id for thing in objects if task is Task.REGION or draw(st.booleans())]
    if task is Task.REGION and not ids:
        task = Task.DETECTION
    return make_sample(
        task=task, question=draw(PHRASES), answer=BoxesAnswer(object_ids=tuple(ids)), images=images, objects=objects
    )


@pytest.mark.parametrize("name", FORMATS)
@given(sample=grounded_samples())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_boxes_and_names_come_back(name, sample):
    texts = "".join(turn.text for turn in sample.turns)
    try:
        row = express(load_format(name), sample, place(sample, ImageMode.REFERENCE))
    except ItemError as error:
        assert error.reason == "literal-placeholder"
        assert name == "sharegpt"
        assert "<audio>" in texts
        return
    sizes = {f"/data/{image.path}": (image.width_px, image.height_px) for image in sample.images}
    back = load_format(name).from_row(json.loads(json.dumps(row)), sizes.__getitem__)
    assert back.turns == sample.turns
    assert [image.rsplit("/", 1)[1] for image in back.images] == [f"{i}.png" for i in range(len(sample.images))]


@pytest.mark.parametrize("name", FORMATS)
@given(question=PHRASES, answer=PHRASES, image_count=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back(name, question, answer, image_count):
    images = [make_image(f"images/{number}.png") for number in range(image_count)]
    sample = make_sample(question=question, answer=TextAnswer(text=answer), images=images)
    literal = {"sharegpt": ["<audio>", "<video>"]}.get(name, [])
    try:
        row = express(load_format(name), sample, place(sample, ImageMode.REFERENCE))
    except ItemError as error:
        assert error.reason == "literal-placeholder"
        assert any(token in turn.text for token in literal for turn in sample.turns)
        return
    assert not any(token in turn.text for token in literal for turn in sample.turns)
    back = load_format(name).from_row(json.loads(json.dumps(row)), {}.__getitem__)
    assert back.turns == sample.turns
    assert len(back.images) == image_count


def test_a_row_that_reads_back_differently_is_not_kept(monkeypatch):
    """The guard itself: a format that loses a blank is found out."""
    kind = load_format("llava")
    to_row = type(kind).to_row

    def careless(self, sample, images):
        row = to_row(self, sample, images)
        row["conversations"][1]["value"] = row["conversations"][1]["value"].strip()
        return row

    monkeypatch.setattr(type(kind), "to_row", careless)
    sample = make_sample(answer=TextAnswer(text=" a lung "))

    with pytest.raises(ItemError, match="turn 1 must be read back as it is, got 'a lung'") as caught:
        express(kind, sample, place(sample, ImageMode.LINK))
    assert caught.value.reason == "text-changes"


def test_the_strange_text_is_on_disk_as_utf8(varied, exported):
    text = (exported("llava") / "train.json").read_text(encoding="utf-8")

    assert "漢字 🛰" in text
    assert STRANGE.count("漢字") == 1


def test_reading_what_is_not_there(exported, tmp_path):
    with pytest.raises(InputNotFoundError, match=r"train\.jsonl is missing"):
        list(read_exported(tmp_path, "ms-swift", Split.TRAIN))
    with pytest.raises(InputNotFoundError, match="no split train"):
        list(read_exported(tmp_path, "hub", Split.TRAIN))


@pytest.mark.parametrize("name", TEXT_FORMATS)
@pytest.mark.parametrize("line", ["{", "[1]", "{}", '{"messages": [{"role": "cat", "content": "x"}]}'])
def test_a_row_of_another_form_is_refused(tmp_path, name, line):
    (tmp_path / "train.jsonl").write_text(line + "\n")
    (tmp_path / "train.json").write_text(f"[\n{line}\n]\n")

    with pytest.raises(DatasetError, match="Unreadable row"):
        list(read_exported(tmp_path, name, Split.TRAIN))
