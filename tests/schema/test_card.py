"""The card for people and the description for machines say what the manifest says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil

import numpy as np
import pytest
import yaml
from builders import PROVENANCE, make_sample

from domainvl.schema import (
    BoxesAnswer,
    CountAnswer,
    DatasetWriter,
    Enhanced,
    Object,
    Reject,
    Source,
    Split,
    Task,
    TextAnswer,
)
from domainvl.schema.card import join_licences, licence_header, split_licences, write_card

TRAIN, VAL, TEST = Split


def write(folder, *, name="harbour: ships", licence="CC-BY-4.0"):
    """Three splits, one of them empty; samples of one, two and no images."""
    with DatasetWriter(folder, name=name) as writer:
        black, white = (
            writer.images.put_pixels(np.full((2, 3), grey, np.uint8)).to_image(Source(uri="a.tif")) for grey in (0, 255)
        )
        writer.add(make_sample("a/1", images=[black], group="a"))
        writer.add(make_sample("a/ü", images=[black, white], group="a", answer=TextAnswer(text="zwölf 😀")))
        writer.add(make_sample("a/3", images=[], group="a", task=Task.COUNTING, answer=CountAnswer(count=3)))
        writer.add(make_sample("a/4", images=[white], group="a"))
        for number in range(3):
            writer.add(make_sample(f"b/{number}", images=[white, black], group="b", split=TEST, domain="medical"))
        writer.reject(Reject("c.tif", "read", "decode", "it is cut short"))
        writer.finish(command="convert geotiff", settings={}, sources=[{"uri": "a.tif"}], versions={}, licence=licence)
    return folder


@pytest.fixture
def dataset(tmp_path):
    return write(tmp_path / "data")


def read_header(dataset):
    empty, header, _ = (dataset / "card.md").read_text(encoding="utf-8").split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(header)


def read_croissant(dataset):
    return json.loads((dataset / "croissant.json").read_text(encoding="utf-8"))


def records_in(dataset, split):
    return [json.loads(line) for line in (dataset / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


# card.md


def test_the_card_has_the_header_of_the_hub(dataset):
    assert read_header(dataset) == {
        "pretty_name": "harbour: ships",
        "license": "cc-by-4.0",
        "tags": ["domainvl", "general", "medical"],
        "task_categories": ["visual-question-answering"],
        "size_categories": ["n<1K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "train.jsonl"}, {"split": "test", "path": "test.jsonl"}],
            }
        ],
    }


def test_the_card_gives_counts_groups_and_what_was_left_out(dataset):
    lines = (dataset / "card.md").read_text(encoding="utf-8").splitlines()

    assert "| train | general | vqa | 3 |" in lines
    assert "| train | general | counting | 1 |" in lines
    assert "| test | medical | vqa | 3 |" in lines
    assert "- 1 x failed at read: decode" in lines
    assert "Nothing." not in lines
    assert any("train 1, val 0, test 1" in line for line in lines)
    assert any("`domainvl convert geotiff` from 1 source files" in line for line in lines)


def test_synthesised_pixels_are_said_with_what_made_them_and_of_how_many(tmp_path):
    network = Enhanced(name="sdan-x4-0123abcd", scale=4, mode="zero offset", sha256="0123abcd" * 8)
    bicubic = Enhanced(name="bicubic-x2", scale=2, mode="zero offset")
    with DatasetWriter(tmp_path / "data", name="enlarged") as writer:
        for number, enhanced in enumerate((None, network, bicubic, network)):
            sample = make_sample(str(number), images=[], group="a")
            writer.add(sample.model_copy(update={"provenance": PROVENANCE.model_copy(update={"enhanced": enhanced})}))
        manifest = writer.finish(command="convert geotiff", settings={}, sources=[], versions={})
    assert manifest["enhanced"] == [
        {"mode": "zero offset", "name": "bicubic-x2", "scale": 2, "samples": 1},
        network.model_dump() | {"samples": 2},
    ]
    card = (tmp_path / "data" / "card.md").read_text()
    section = card.partition("## Synthesised pixels")[2].partition("\n## ")[0]
    assert f"| sdan-x4-0123abcd | 4 | zero offset | {'0123abcd' * 8} | 2 of 4 |" in section
    assert "| bicubic-x2 | 2 | zero offset | - | 1 of 4 |" in section
    assert "smaller than the resolution of the sensor may be invented" in section


def test_a_data_set_of_what_sensors_took_has_no_word_of_it(dataset):
    assert "Synthesised" not in (dataset / "card.md").read_text()
    assert "enhanced" not in json.loads((dataset / "manifest.json").read_text())


def test_nothing_left_out_is_said(tmp_path):
    with DatasetWriter(tmp_path / "data", name="n") as writer:
        writer.add(make_sample())
        writer.finish(command="toy", settings={}, sources=[], versions={})

    assert "Nothing." in (tmp_path / "data" / "card.md").read_text().splitlines()
    assert "license: unknown" in (tmp_path / "data" / "card.md").read_text()


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        (None, {"license": "unknown"}),
        ("unknown", {"license": "unknown"}),
        ("CC0-1.0", {"license": "cc0-1.0"}),
        ("cc-by-4.0", {"license": "cc-by-4.0"}),
        ("CC BY-NC-SA 4.0", {"license": "cc-by-nc-sa-4.0"}),
        # SPDX and the Hub call these differently.
        ("ODbL-1.0", {"license": "odbl"}),
        ("ODC-By-1.0", {"license": "odc-by"}),
        ("PDDL-1.0", {"license": "pddl"}),
        ("GPL-3.0-only", {"license": "gpl-3.0"}),
        ("Copernicus Sentinel Data Terms", {"license": "other", "license_name": "copernicus-sentinel-data-terms"}),
        ("für Forschung", {"license": "other", "license_name": "f-r-forschung"}),
        ("研究", {"license": "other", "license_name": "other"}),
        # Several.
        ("CC0-1.0 AND CC-BY-4.0", {"license": ["cc0-1.0", "cc-by-4.0"]}),
        ("MIT AND mit", {"license": "mit"}),
        ("CC0-1.0 AND unknown", {"license": ["cc0-1.0", "unknown"]}),
        ("CC0-1.0 AND House Rules", {"license": "other", "license_name": "cc0-1.0-and-house-rules"}),
    ],
)
def test_licences_in_the_form_of_the_hub(tmp_path, licence, expected):
    header = read_header(write(tmp_path / "data", licence=licence))

    assert {key: header[key] for key in header if key.startswith("license")} == expected == licence_header(licence)


@pytest.mark.parametrize(
    "licence",
    [
        "CC-BY-NC-4.0",
        "CC BY-NC-SA 4.0 AND CC0-1.0",
        "NVIDIA License (non-commercial)",
        "Agreement for Non-Commercial Use",
    ],
)
def test_what_must_not_be_used_commercially_is_flagged(tmp_path, licence):
    dataset = write(tmp_path / "data", licence=licence)

    assert "non-commercial" in read_header(dataset)["tags"]
    assert "Not for commercial use." in (dataset / "card.md").read_text().splitlines()


def test_what_may_be_used_commercially_is_not_flagged(dataset):
    assert "commercial" not in (dataset / "card.md").read_text()


def test_several_licences_are_listed(tmp_path):
    lines = (write(tmp_path / "data", licence="CC0-1.0 AND House Rules") / "card.md").read_text().splitlines()

    assert "- CC0-1.0" in lines
    assert "- House Rules" in lines


@pytest.mark.parametrize(
    ("licences", "joined"),
    [
        (["CC0-1.0"], "CC0-1.0"),
        (["CC0-1.0", "CC0-1.0"], "CC0-1.0"),
        (["b", "a", "b"], "b AND a"),
        ([None, "a"], "unknown AND a"),
        ([None], None),
        ([None, "unknown"], None),
        ([], None),
        (["a AND b", "b AND c"], "a AND b AND c"),
    ],
)
def test_joining_licences(licences, joined):
    assert join_licences(licences) == joined
    assert split_licences(joined) == list(dict.fromkeys(split_licences(joined)))


def manifest_of(*counts):
    rows = [{"split": split, "domain": "general", "task": task.value, "count": count} for split, task, count in counts]
    return {
        "name": "n", "command": "toy", "licence": None, "counts": rows, "groups": {}, "rejects": [], "sources": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, "n<1K"),
        (999, "n<1K"),
        (1000, "1K<n<10K"),
        (9_999, "1K<n<10K"),
        (10_000, "10K<n<100K"),
        (100_000, "100K<n<1M"),
        (1_000_000, "1M<n<10M"),
        (5 * 10**12, "n>1T"),
    ],
)
def test_sizes(tmp_path, count, expected):
    write_card(
        tmp_path / "card.md", manifest_of(("train", Task.VQA, count // 2), ("val", Task.VQA, count - count // 2))
    )

    assert read_header(tmp_path)["size_categories"] == [expected]


# Those that the Hub shows for data sets (huggingface.js, packages/tasks/src/pipelines.ts), as far as images go.
HUB_TASKS = {
    "image-classification", "object-detection", "image-segmentation", "image-to-text", "visual-question-answering",
    "zero-shot-object-detection", "zero-shot-image-classification", "depth-estimation",
}  # fmt: skip


@pytest.mark.parametrize("task", list(Task))
def test_each_task_is_one_that_the_hub_knows(tmp_path, task):
    write_card(tmp_path / "card.md", manifest_of(("train", task, 1)))

    (category,) = read_header(tmp_path)["task_categories"]
    assert category in HUB_TASKS


def test_tasks_are_told_once_and_sorted(tmp_path):
    tasks = [Task.VQA, Task.GROUNDING, Task.COUNTING, Task.DETECTION, Task.CAPTION, Task.CLASSIFICATION]
    write_card(tmp_path / "card.md", manifest_of(*(("train", task, 1) for task in tasks)))

    assert read_header(tmp_path)["task_categories"] == [
        "image-classification", "image-to-text", "object-detection", "visual-question-answering",
    ]  # fmt: skip


def test_a_name_that_yaml_or_utf_8_would_stumble_over(tmp_path):
    for number, name in enumerate(["yes", "- a: [b", "größe 😀", '"#', os.fsdecode(b"\xff")]):
        header = read_header(write(tmp_path / str(number), name=name))
        assert header["pretty_name"] == name
        assert read_croissant(tmp_path / str(number))["name"] == name


def test_equal_data_sets_have_equal_cards(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "data")

    for name in ("card.md", "croissant.json"):
        content = (tmp_path / "a" / "data" / name).read_bytes()
        assert content == (tmp_path / "b" / "data" / name).read_bytes()
        assert str(tmp_path).encode() not in content


def test_the_hubs_library_finds_the_splits(tmp_path):
    """As the Hub does it: the card is the README, and its configs name the files."""
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    with DatasetWriter(tmp_path / "data", name="n") as writer:
        image = writer.images.put_pixels(np.zeros((2, 3), np.uint8)).to_image(Source(uri="a.tif"))
        for number in range(4):
            split = TEST if number == 3 else TRAIN
            writer.add(make_sample(f"s/{number}", images=[image], group=split.value, split=split))
        writer.finish(command="toy", settings={}, sources=[], versions={})
    shutil.copy(tmp_path / "data" / "card.md", tmp_path / "data" / "README.md")

    loaded = datasets.load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))

    assert {split: rows["id"][:] for split, rows in loaded.items()} == {
        "train": ["s/0", "s/1", "s/2"],
        "test": ["s/3"],
    }


def test_the_hubs_library_takes_the_header(dataset):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

    card = hub.DatasetCard.load(dataset / "card.md")

    assert card.data.license == "cc-by-4.0"
    assert card.data.size_categories == ["n<1K"]


# croissant.json


def test_croissant_describes_each_file_that_has_rows(dataset):
    content = read_croissant(dataset)

    assert content["@type"] == "sc:Dataset"
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert content["name"] == "harbour: ships"
    assert content["license"] == ["https://spdx.org/licenses/CC-BY-4.0.html"]
    files = {entry["@id"]: entry for entry in content["distribution"] if entry["@type"] == "cr:FileObject"}
    assert list(files) == ["train.jsonl", "test.jsonl"]
    for entry in files.values():
        content = (dataset / entry["contentUrl"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["contentSize"] == f"{len(content)} B"


def test_croissant_names_licences_by_url_where_there_is_one(tmp_path):
    content = read_croissant(write(tmp_path / "data", licence="odbl AND House Rules AND unknown"))

    assert content["license"] == [
        "https://spdx.org/licenses/ODbL-1.0.html",
        {"@type": "sc:CreativeWork", "name": "House Rules"},
        {"@type": "sc:CreativeWork", "name": "unknown"},
    ]


def test_croissants_set_of_images_holds_all_images(dataset):
    (images,) = [entry for entry in read_croissant(dataset)["distribution"] if entry["@type"] == "cr:FileSet"]

    found = {path for pattern in images["includes"] for path in dataset.glob(pattern)}
    assert found == {path for path in (dataset / "images").rglob("*") if path.is_file()}
    assert len(found) == 2


def test_croissant_names_the_splits_by_their_meaning(dataset):
    splits = next(part for part in read_croissant(dataset)["recordSet"] if part["@id"] == "splits")

    assert splits["dataType"] == "cr:Split"
    assert splits["key"] == {"@id": "splits/name"}
    assert splits["data"] == [
        {"splits/name": "train", "splits/url": "cr:TrainingSplit"},
        {"splits/name": "test", "splits/url": "cr:TestSplit"},
    ]


def leaves(fields):
    return [leaf for field in fields for leaf in (leaves(field["subField"]) if "subField" in field else [field])]


def test_croissants_fields_are_in_the_rows(dataset):
    content = read_croissant(dataset)

    assert [part["@id"] for part in content["recordSet"]] == ["splits", "train", "test"]
    for record_set in content["recordSet"][1:]:
        split = record_set["@id"]
        for field in leaves(record_set["field"]):
            assert field["source"]["fileObject"] == {"@id": f"{split}.jsonl"}
            extract = field["source"]["extract"]
            if "fileProperty" in extract:
                assert re.match(field["source"]["transform"]["regex"], f"{split}.jsonl")[1] == split
                continue
            values = [record[extract["column"]] for record in records_in(dataset, split) if extract["column"] in record]
            assert values
            if "transform" in field["source"]:
                key = field["source"]["transform"]["jsonPath"].removeprefix("$.")
                values = [part[key] for value in values for part in (value if isinstance(value, list) else [value])]
            texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
            assert all(isinstance(text, str) for text in texts)


def test_every_term_of_croissant_is_in_its_context(dataset):
    content = read_croissant(dataset)
    context = content.pop("@context")

    def terms(part):
        if isinstance(part, list):
            return set().union(*map(terms, part))
        if isinstance(part, dict):
            keys = {key for key in part if not key.startswith("@")}
            return keys.union(*(terms(value) for key, value in part.items() if key != "data"))
        return set()

    # These few are schema.org's own, which is the default vocabulary.
    of_schema_org = {
        "name", "description", "license", "keywords", "distribution", "contentUrl", "contentSize", "encodingFormat",
        "sha256",
    }  # fmt: skip
    assert context["@vocab"] == "https://schema.org/"
    assert terms(content) - of_schema_org <= set(context)


def as_bytes(value):
    """Croissant's reader gives text as bytes."""
    if isinstance(value, list):
        return [as_bytes(part) for part in value]
    return None if value is None else value.encode()


@pytest.mark.parametrize("split", [TRAIN, TEST])
def test_the_reference_reader_of_croissant_reads_the_rows(dataset, split, caplog):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the reader of Croissant is not installed")

    rows = list(mlcroissant.Dataset(jsonld=str(dataset / "croissant.json")).records(split.value))

    records = records_in(dataset, split)
    assert "Could not match" not in caplog.text  # which it says once a row where a pattern does not fit
    assert len(rows) == len(records) >= 3
    for row, record in zip(rows, records, strict=True):
        truth = record["domainvl"]
        turns = f"{split}/conversations"
        assert row == {
            f"{split}/id": as_bytes(record["id"]),
            f"{split}/split": as_bytes(split.value),
            f"{split}/image": as_bytes(record.get("image")),
            f"{split}/domain": as_bytes(truth["domain"]),
            f"{split}/task": as_bytes(truth["task"]),
            f"{split}/question": as_bytes(truth["question"]),
            f"{split}/group": as_bytes(truth["group"]),
            turns: [
                {f"{turns}/from": as_bytes(turn["from"]), f"{turns}/value": as_bytes(turn["value"])}
                for turn in record["conversations"]
            ],
        }


def test_the_reference_reader_finds_a_changed_file(dataset):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the reader of Croissant is not installed")
    (dataset / "train.jsonl").write_text((dataset / "train.jsonl").read_text().replace("a lung", "a knee"))

    with pytest.raises(Exception, match=r"during the operation Download\(train\.jsonl\)"):
        list(mlcroissant.Dataset(jsonld=str(dataset / "croissant.json")).records("train"))


def test_the_reference_reader_takes_a_data_set_of_boxes(tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the reader of Croissant is not installed")
    with DatasetWriter(tmp_path / "data", name="n") as writer:
        image = writer.images.put_pixels(np.zeros((50, 60), np.uint8)).to_image(Source(uri="a", details={"crs": None}))
        things = [Object(id=str(n), label="ship", box_px=(n, 1.5, n + 2, 9)) for n in range(3)]
        for number in range(3):
            answer = BoxesAnswer(object_ids=tuple("012"[:number]))
            writer.add(
                make_sample(f"s/{number}", images=[image], task=Task.DETECTION, answer=answer, objects=things[:number])
            )
        writer.finish(command="toy", settings={}, sources=[], versions={})

    rows = list(mlcroissant.Dataset(jsonld=str(tmp_path / "data" / "croissant.json")).records("train"))

    assert [row["train/id"] for row in rows] == [b"s/0", b"s/1", b"s/2"]


@pytest.mark.parametrize("samples", [[], [make_sample("a/1", images=[])]], ids=["no samples", "no images"])
def test_the_reference_reader_takes_a_data_set_without(tmp_path, samples):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the reader of Croissant is not installed")
    with DatasetWriter(tmp_path / "data", name="n") as writer:
        for sample in samples:
            writer.add(sample)
        writer.finish(command="toy", settings={}, sources=[], versions={})

    croissant = mlcroissant.Dataset(jsonld=str(tmp_path / "data" / "croissant.json"))

    assert [row["train/id"] for row in (croissant.records("train") if samples else [])] == [
        sample.id.encode() for sample in samples
    ]
    assert not [part for part in read_croissant(tmp_path / "data")["distribution"] if part["@type"] == "cr:FileSet"]
