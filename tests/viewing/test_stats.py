"""The counts of a data set, against what tests/gallery.py puts into it."""

from __future__ import annotations

import json

import pytest
from builders import make_image, make_sample
from gallery import HOSTILE_LABEL

from domainvl.errors import NothingToDoError
from domainvl.schema import Object, Split
from domainvl.viewing.stats import collect_stats, warning_kind
from domainvl.viewing.tokens import TokenRules

DEFAULT = TokenRules.load(None, max_tiles=None)


@pytest.fixture(scope="module")
def stats(gallery):
    return collect_stats(gallery, DEFAULT).to_dict()


def test_samples(stats):
    assert stats["name"] == "gallery"
    assert stats["samples"] == 7
    counts = {(row["domain"], row["task"], row["split"]): row["count"] for row in stats["counts"]}
    assert counts == {
        ("remote-sensing", "detection", "train"): 1,
        ("remote-sensing", "grounding", "train"): 1,
        ("remote-sensing", "grounding", "test"): 1,
        ("medical", "multiple-choice", "val"): 1,
        ("driving", "counting", "test"): 1,
        ("driving", "region", "train"): 1,
        ("medical", "vqa", "train"): 1,
    }


def test_groups(stats):
    assert stats["groups"] == {
        "distinct": 3,
        "exact": True,
        "by_split": {"train": 1, "val": 1, "test": 1},
        "in_several_splits": 0,
    }


def test_images(stats):
    """One scene in 3 samples, the hostile one in 1, two views in 2 each, and a sample without an image."""
    images = stats["images"]
    assert (images["distinct"], images["exact"], images["uses"]) == (4, True, 3 + 1 + 2 * 2)
    assert images["per_sample"] == {"count": 7, "min": 0, "median": 1.0, "mean": 8 / 7, "p95": 2, "max": 2}
    assert images["width_px"] == {"count": 4, "min": 120, "median": 160.0, "mean": 160.0, "p95": 200, "max": 200}
    assert images["height_px"] == {"count": 4, "min": 80, "median": 90.0, "mean": 90.0, "p95": 100, "max": 100}
    assert images["distinct_sizes"] == 2
    assert images["sizes"] == [
        {"width_px": 120, "height_px": 80, "count": 2},
        {"width_px": 200, "height_px": 100, "count": 2},
    ]
    assert (images["used_by_several_samples"], images["most_uses"]) == (3, 3)
    # The scene is in train and test, and so are both views.
    assert images["in_several_splits"] == 3
    # The scene has 2 boxes in detection/0 (the third is ignored) and 1 in the others: all of them together are 2.
    assert images["boxes_per_image"] == {"count": 4, "min": 0, "median": 1.0, "mean": 1.0, "p95": 2, "max": 2}


def test_tiles_and_visual_tokens(stats):
    """200 x 100 px is 2 x 1 tiles and a thumbnail; of two images each gets 6 of 12, 120 x 80 px is 3 x 2 of them."""
    assert stats["tiles"]["histogram"] == {"0": 1, "3": 4, "14": 2}
    assert stats["tiles"]["max_tiles"] == 12
    assert stats["tiles"]["visual_tokens"]["max"] == 14 * 256
    assert stats["tiles"]["visual_tokens_total"] == (4 * 3 + 2 * 14) * 256


def test_the_tile_limit_is_shared_over_the_images(gallery):
    """Of 6 tiles each of two images gets 3: too few for the 3 x 2 of 120 x 80 px, so that each is one tile."""
    limited = collect_stats(gallery, TokenRules.load(None, max_tiles=6)).to_dict()

    assert limited["tiles"]["histogram"] == {"0": 1, "2": 2, "3": 4}


def test_video_frames_are_one_tile_each(tmp_path, save):
    frames = [make_image(f"{number}.png", frame=number) for number in (1, 2, 3)]

    counted = collect_stats(save(tmp_path, [make_sample(images=frames)]), DEFAULT).to_dict()
    assert counted["tiles"]["histogram"] == {"3": 1}


def test_objects_are_counted_once_for_each_image(stats):
    """Five of the scene, of which grounding names one again; one on the hostile image; the bus is there twice."""
    objects = stats["objects"]
    assert (objects["distinct"], objects["exact"]) == (7, True)
    assert (objects["ignored"], objects["truncated"]) == (1, 1)
    assert objects["ignored_share"] == pytest.approx(1 / 7)
    assert objects["shapes"] == {"box": 5, "polygon": 1, "oriented_box": 1, "point": 1}
    assert objects["classes"] == [
        {"label": label, "count": 1} for label in sorted([HOSTILE_LABEL, "bus", "car", "field", "plane", "well"])
    ]
    # 40 x 40, 60 x 60 and 40 x 40 of 200 x 100; 48 x 32 of 120 x 80; the ignored one does not count.
    assert objects["box_area_share"] == pytest.approx(
        {"count": 4, "min": 0.08, "median": 0.12, "mean": 0.125, "p95": 0.18, "max": 0.18}
    )


def test_warnings(stats):
    assert stats["warnings"] == {
        "samples": 1,
        "kinds": [{"kind": "# of the objects had invalid rings", "count": 1}],
        "other": 0,
    }
    assert warning_kind("spacing 1.25 mm, 3 slices") == "spacing # mm, # slices"


def test_text_tokens_only_with_a_checkpoint(gallery, stats):
    assert [stats["text"][key] for key in ("text_tokens", "answer_tokens", "all_tokens", "all_tokens_total")] == [
        None
    ] * 4

    text = collect_stats(gallery, TokenRules.load("tiny", max_tiles=None)).to_dict()["text"]
    assert text["text_tokens"]["count"] == 7
    # A tile each: 16 tokens for each of the 8 uses.
    assert text["all_tokens_total"] == round(7 * text["text_tokens"]["mean"]) + 8 * 16


def keys(value):
    if isinstance(value, dict):
        return {key: keys(inner) for key, inner in value.items() if not key.isdigit()}
    return None


def test_the_keys_are_the_same_for_every_data_set(tmp_path, save, stats):
    other = collect_stats(save(tmp_path, [make_sample(images=[])]), DEFAULT).to_dict()

    assert set(other) == set(stats)
    for section in ("groups", "images", "tiles", "text", "objects", "warnings"):
        assert set(other[section]) == set(stats[section]), section
    assert set(other["answers"][0]) == set(stats["answers"][0])
    assert set(other["constant_answers"][0]) == set(stats["constant_answers"][0])
    assert json.loads(json.dumps(other)) == other  # plain values


def test_many_distinct_things_are_estimated(tmp_path, save, monkeypatch):
    """With room for 100 of 400 images each with an object of its own."""
    from domainvl.viewing import stats as module
    from domainvl.viewing.tally import DistinctSample

    monkeypatch.setattr(module, "DistinctSample", lambda make: DistinctSample(make, 100))
    samples = [
        make_sample(
            str(number),
            images=[make_image(f"{number}.png")],
            objects=[Object(id="0", label="car" if number % 4 else "bus", box_px=(0, 0, 1, 1))],
        )
        for number in range(400)
    ]
    counted = collect_stats(save(tmp_path, samples), DEFAULT).to_dict()

    assert not counted["images"]["exact"]
    # The relative error is about 1 / sqrt(100); three times that.
    assert counted["images"]["distinct"] == pytest.approx(400, rel=0.3)
    assert counted["objects"]["distinct"] == pytest.approx(400, rel=0.3)
    classes = {row["label"]: row["count"] for row in counted["objects"]["classes"]}
    assert sum(classes.values()) == pytest.approx(counted["objects"]["distinct"], abs=2)
    assert classes["car"] > 2 * classes["bus"]
    assert counted["groups"]["exact"]


def test_a_group_in_two_splits_is_seen(tmp_path, save):
    samples = [make_sample("a", images=[]), make_sample("b", images=[], split=Split.TEST)]

    assert collect_stats(save(tmp_path, samples), DEFAULT).to_dict()["groups"]["in_several_splits"] == 1


def test_nothing_to_count(tmp_path, save):
    with pytest.raises(NothingToDoError, match="no split has a sample"):
        collect_stats(save(tmp_path, []), DEFAULT)
