"""The counts as text."""

from __future__ import annotations

import pytest
from builders import make_image, make_sample

from domainvl.schema import Object, Split, TextAnswer
from domainvl.viewing.report import format_stats, layout, plain
from domainvl.viewing.stats import collect_stats
from domainvl.viewing.tokens import TokenRules

DEFAULT = TokenRules.load(None, max_tiles=None)


@pytest.fixture(scope="module")
def text(gallery):
    return format_stats(collect_stats(gallery, DEFAULT).to_dict())


def test_columns():
    assert layout([["a", "bb", "1"], ["ccc", "d", "22"]], "llr") == ["a    bb   1", "ccc  d   22"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a pond", "a pond"),
        ("Straße 首都", "Straße 首都"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[2J", "\\x1b[2J"),  # would clear the screen
        ("a\u202eb", "a\\u202eb"),  # would turn the direction of writing
        ("\udcff", "\\udcff"),  # cannot be encoded
        ("abcdef", "abcd…"),
    ],
)
def test_text_of_the_data_set_cannot_steer_a_terminal(written, shown):
    assert plain(written, 5 if written == "abcdef" else 60) == shown


def test_the_lines_say_what_was_counted(text):
    lines = [" ".join(line.split()) for line in text.splitlines()]

    for line in (
        "gallery: 7 samples, 3 groups",
        "samples train val test all",
        "remote-sensing grounding 1 0 1 2",
        "groups 1 1 1 3",
        "images a sample 0 1 1.1 2 2",
        "visual tokens a sample 0 768 1,462.9 3,584 3,584",  # 40 tiles of 256 tokens over 7 samples
        "box in % of the image 8 12 12.5 18 18",
        "images: 4 distinct, 8 uses",
        "sizes: 120x80 (2), 200x100 (2)",
        "images used by several samples: 3, by 3 at most",
        "images in several splits: 3; what is held out is not unseen",
        "tiles: at most 12 a sample and a thumbnail, 448 px, 256 tokens each; 10,240 visual tokens in all",
        "text tokens: not counted; name a checkpoint with --model",
        "answers to medical multiple-choice (choice): 1 sample",
        "options: 3 (1)",
        "medical multiple-choice val B 100% - -",
        "objects: 7 distinct, 5 with box, 1 with polygon, 1 with oriented box, 1 with point",
        "ignored: 1 (14.3%), truncated: 1; the classes are without the ignored ones",
        "warnings: in 1 sample",
        "1 x # of the objects had invalid rings",
    ):
        assert line in lines, line


def test_tokens_are_named_where_they_are_counted(gallery):
    text = format_stats(collect_stats(gallery, TokenRules.load("tiny", max_tiles=None)).to_dict())

    assert "text tokens a sample" in text
    assert "not counted" not in text


def test_a_long_list_is_cut_and_says_so(tmp_path, save):
    objects = [Object(id=str(number), label=f"class {number:02d}", box_px=(0, 0, 1, 1)) for number in range(23)]
    samples = [make_sample("o", images=[make_image()], objects=objects)]
    samples += [make_sample(str(number), images=[], answer=TextAnswer(text=f"answer {number}")) for number in range(7)]
    lines = format_stats(collect_stats(save(tmp_path, samples), DEFAULT).to_dict()).splitlines()

    assert "  and 3 more classes" in lines
    # "a lung" of the first sample comes before the others in the alphabet.
    assert "  a lung (1), answer 0 (1), answer 1 (1), answer 2 (1), answer 3 (1) and 3 more" in lines


def test_without_images_and_objects(tmp_path, save):
    lines = format_stats(collect_stats(save(tmp_path, [make_sample(images=[])]), DEFAULT).to_dict()).splitlines()

    assert "images: none" in lines
    assert "objects: none" in lines


def test_a_divided_group_and_an_estimate_are_said(tmp_path, save):
    samples = [make_sample("a", images=[]), make_sample("b", images=[], split=Split.TEST)]
    stats = collect_stats(save(tmp_path, samples), DEFAULT).to_dict()
    assert "estimated" not in format_stats(stats)

    stats["groups"]["exact"] = False
    text = format_stats(stats)
    assert "groups in several splits: 1; what is held out is not unseen" in text
    assert "too many groups to keep: what is said of them is estimated from an even sample" in text
