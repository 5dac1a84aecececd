"""Finding what is planned for."""

from __future__ import annotations

import json
import shutil

import pytest

from domainvl.errors import CheckpointError
from domainvl.planning.subject import find_subject


@pytest.mark.parametrize("name", ["1b", "2b", "4b"])
def test_a_size_needs_no_files(name):
    subject = find_subject(name)

    assert (subject.name, subject.size, subject.folder) == (name, name, None)
    assert subject.preprocessing.tile_side_px == 448
    assert subject.preprocessing.tokens_per_tile == 256
    assert subject.encoder() is None


def test_tiny_ships_with_its_tokenizer():
    subject = find_subject("tiny")

    assert subject.size == "tiny"
    assert subject.preprocessing.tokens_per_tile == 16
    assert subject.encoder() is not None


@pytest.fixture
def copy(untrained, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(untrained, folder)
    return folder


def test_a_checkpoint_needs_no_weights(copy):
    (copy / "model.safetensors").unlink()

    assert find_subject(str(copy)).size == "tiny"


def test_a_checkpoint_of_other_dimensions_has_no_size(copy):
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 2
    config["text_config"]["layer_types"] = ["full_attention"] * 2
    (copy / "config.json").write_text(json.dumps(config))

    assert find_subject(str(copy)).size is None


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(CheckpointError, match=r"8b: there is no such folder\. Name a size, one of tiny, 1b, 2b, 4b"):
        find_subject("8b")


def test_an_adapter_is_no_whole_model(copy):
    spec = json.loads((copy / "domainvl.json").read_text())
    (copy / "domainvl.json").write_text(json.dumps({**spec, "kind": "adapter"}))

    with pytest.raises(CheckpointError, match="must be a whole model, got an adapter"):
        find_subject(str(copy))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (None, "config.json is missing"),
        ('{"model_type": "internvl_chat"}', "got 'internvl_chat'"),
        ("[]", "must be a JSON object"),
        ("{", "must be a JSON object"),
        ("\xff", "must be a JSON object"),
    ],
)
def test_a_config_of_another_kind(copy, content, rule):
    if content is None:
        (copy / "config.json").unlink()
    else:
        (copy / "config.json").write_bytes(content.encode("latin-1"))

    with pytest.raises(CheckpointError, match=rule):
        find_subject(str(copy))
