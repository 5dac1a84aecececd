"""The card for people and the description for machines say what the manifest says."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import yaml
from builders import make_sample

from domainvl.schema import DatasetWriter, Reject, Source, Split


@pytest.fixture
def dataset(tmp_path):
    with DatasetWriter(tmp_path / "data", name="harbour: ships") as writer:
        image = writer.images.put_pixels(np.zeros((2, 3), np.uint8)).to_image(Source(uri="a.tif"))
        writer.add(make_sample("1", images=[image], group="a"))
        writer.add(make_sample("2", images=[image], group="a"))
        writer.add(make_sample("3", images=[image], group="b", split=Split.TEST))
        writer.reject(Reject("c.tif", "read", "decode", "it is cut short"))
        writer.finish(command="convert geotiff", settings={}, sources=[{"uri": "a.tif"}], versions={}, licence="cc-by-4.0")
    return tmp_path / "data"


def test_the_card_has_the_header_of_the_hub(dataset):
    _, header, _ = (dataset / "card.md").read_text(encoding="utf-8").split("---\n", 2)

    assert yaml.safe_load(header) == {
        "pretty_name": "harbour: ships",
        "license": "cc-by-4.0",
        "tags": ["domainvl"],
    }


def test_the_card_gives_counts_groups_and_what_was_left_out(dataset):
    lines = (dataset / "card.md").read_text(encoding="utf-8").splitlines()

    assert "| train | general | vqa | 2 |" in lines
    assert "| test | general | vqa | 1 |" in lines
    assert "- 1 x failed at read: decode" in lines
    assert "Nothing." not in lines
    assert any("train 1, val 0, test 1" in line for line in lines)
    assert any("`domainvl convert geotiff` from 1 source files" in line for line in lines)


def test_croissant_describes_each_file_that_has_rows(dataset):
    content = json.loads((dataset / "croissant.json").read_text(encoding="utf-8"))

    assert content["@type"] == "sc:Dataset"
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert content["name"] == "harbour: ships"
    assert content["license"] == "cc-by-4.0"
    files = {entry["@id"]: entry for entry in content["distribution"]}
    assert set(files) == {"train.jsonl", "test.jsonl"}
    for entry in files.values():
        assert entry["sha256"] == hashlib.sha256((dataset / entry["contentUrl"]).read_bytes()).hexdigest()


def leaves(fields):
    return [leaf for field in fields for leaf in (leaves(field["subField"]) if "subField" in field else [field])]


def test_croissants_fields_are_columns_of_the_rows(dataset):
    content = json.loads((dataset / "croissant.json").read_text(encoding="utf-8"))

    assert [record_set["@id"] for record_set in content["recordSet"]] == ["test", "train"]
    for record_set in content["recordSet"]:
        for field in leaves(record_set["field"]):
            name = field["source"]["fileObject"]["@id"]
            assert name == f"{record_set['@id']}.jsonl"
            for line in (dataset / name).read_text(encoding="utf-8").splitlines():
                value = json.loads(line)[field["source"]["extract"]["column"]]
                if "transform" in field["source"]:
                    key = field["source"]["transform"]["jsonPath"].removeprefix("$[*].")
                    assert all(isinstance(part[key], str) for part in value)
                else:
                    assert isinstance(value, str)


def test_every_term_of_croissant_is_in_its_context(dataset):
    content = json.loads((dataset / "croissant.json").read_text(encoding="utf-8"))
    context = content.pop("@context")

    def terms(part):
        if isinstance(part, list):
            return set().union(*map(terms, part))
        if isinstance(part, dict):
            return {key for key in part if not key.startswith("@")}.union(*map(terms, part.values()))
        return set()

    # These few are schema.org's own, which is the default vocabulary.
    of_schema_org = {"name", "license", "distribution", "contentUrl", "encodingFormat", "sha256"}
    assert context["@vocab"] == "https://schema.org/"
    assert terms(content) - of_schema_org <= set(context)


def test_the_reference_reader_of_croissant_reads_the_rows(dataset):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the reader of Croissant is not installed")

    rows = list(mlcroissant.Dataset(jsonld=str(dataset / "croissant.json")).records("train"))

    assert [row["train/id"] for row in rows] == [b"1", b"2"]


def test_nothing_left_out_is_said(tmp_path):
    with DatasetWriter(tmp_path / "data", name="n") as writer:
        writer.add(make_sample())
        writer.finish(command="toy", settings={}, sources=[], versions={})

    assert "Nothing." in (tmp_path / "data" / "card.md").read_text().splitlines()
    assert "license: unknown" in (tmp_path / "data" / "card.md").read_text()
