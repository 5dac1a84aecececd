"""Tiles and tokens of a sample: the same rules as in training, without its heavy libraries."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from builders import make_image, make_sample

from domainvl.errors import CheckpointError
from domainvl.model.checkpoint import find_checkpoint
from domainvl.viewing.tokens import TextTally, TokenRules


def count(sample, rules, visual_tokens=0):
    tally = TextTally()
    tally.add(sample, rules, visual_tokens)
    return {name: next(iter(lengths)) for name, lengths in tally.lengths.items()}


def test_without_a_checkpoint_characters_and_words_are_counted():
    # "What is it?" and "Answer the question using a single word or phrase.": 3 + 9 words. 11 + 1 + 50 characters and
    # the line break after the placeholder. "a lung": 2 words, 6 characters.
    assert count(make_sample(), TokenRules.load(None, max_tiles=None)) == {
        "human_words": 12,
        "human_characters": 63,
        "assistant_words": 2,
        "assistant_characters": 6,
    }


def test_without_a_checkpoint_the_published_defaults_hold():
    preprocessing = TokenRules.load(None, max_tiles=None).preprocessing

    assert (preprocessing.max_tiles, preprocessing.tile_side_px, preprocessing.tokens_per_tile) == (12, 448, 256)
    assert TokenRules.load(None, max_tiles=6).preprocessing.max_tiles == 6


def test_with_a_checkpoint_its_own_rules_hold():
    preprocessing = TokenRules.load("tiny", max_tiles=None).preprocessing

    assert (preprocessing.max_tiles, preprocessing.tile_side_px, preprocessing.tokens_per_tile) == (1, 64, 16)
    assert TokenRules.load("tiny", max_tiles=4).preprocessing.max_tiles == 4


@pytest.mark.parametrize("images", [[], [make_image()], [make_image("a", view="A"), make_image("b", view="B")]])
def test_tokens_are_those_that_training_sees(images):
    """Against the encoder with transformers' tokenizer, which repeats each image's token for its tiles."""
    from transformers import PreTrainedTokenizerFast

    from domainvl.model.checkpoint import read_spec
    from domainvl.model.encoding import ConversationEncoder

    folder = find_checkpoint("tiny")
    spec = read_spec(folder)
    encoder = ConversationEncoder(
        PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True).backend_tokenizer,
        spec.chat,
        spec.preprocessing.tokens_per_tile,
    )
    sample = make_sample(images=images)
    tiles = [grid.tile_count for grid in spec.preprocessing.grids(sample.images)]
    expected = encoder.encode(sample.turns, tiles)
    visual = 16 * sum(tiles)

    counted = count(sample, TokenRules.load("tiny", max_tiles=None), visual)
    assert counted["all_tokens"] == len(expected.input_ids)
    assert counted["text_tokens"] == len(expected.input_ids) - visual
    assert counted["answer_tokens"] == sum(expected.supervised) > 0


def test_no_heavy_library_is_needed(tmp_path):
    code = (
        "import sys\n"
        "from domainvl.viewing.tokens import TokenRules\n"
        "import domainvl.viewing.stats, domainvl.viewing.show, domainvl.viewing.output, domainvl.viewing.report\n"
        "TokenRules.load('tiny', max_tiles=None)\n"
        "print(sorted({'torch', 'transformers', 'peft', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def copy_of_tiny(folder):
    source = find_checkpoint("tiny")
    folder.mkdir()
    for name in ("domainvl.json", "tokenizer.json"):
        shutil.copy(source / name, folder / name)
    return folder


def without_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def cut_off(folder):
    content = (folder / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(content[: len(content) // 2])


def without_special_tokens(folder):
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] != "</ref>"]
    content["model"]["vocab"].pop("</ref>", None)
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("break_it", "rule"),
    [
        (without_tokenizer, "tokenizer.json is missing"),
        (cut_off, "it must be JSON"),
        (without_special_tokens, "special tokens are missing: </ref>"),
    ],
)
def test_a_tokenizer_that_cannot_be_used(tmp_path, break_it, rule):
    folder = copy_of_tiny(tmp_path / "checkpoint")
    assert TokenRules.load(str(folder), max_tiles=None).encoder is not None

    break_it(folder)

    with pytest.raises(CheckpointError, match=rule):
        TokenRules.load(str(folder), max_tiles=None)


def test_no_checkpoint_there(tmp_path):
    with pytest.raises(CheckpointError, match="there is no such folder"):
        TokenRules.load(str(tmp_path / "none"), max_tiles=None)
