from __future__ import annotations

from dataclasses import dataclass

import pytest

from domainvl.converters.nuscenes.splits import Place, divide, draw_training, official_split
from domainvl.errors import UsageError
from domainvl.schema import Severity, Split
from domainvl.schema.splitting import SplitFractions

FRACTIONS = SplitFractions(val=0.3, test=0.3, seed=0)
NAMES = [f"scene-{number:04d}" for number in range(1, 1200)]


@dataclass(frozen=True)
class Driven:
    name: str
    log: str = "log-0"
    location: str | None = "here"

    @property
    def token(self) -> str:
        return f"token of {self.name}"


def placed(scenes: list[Driven], split_by: str, version: str = "v1.0-trainval") -> dict[str, Place]:
    placement = divide(scenes, split_by, version, FRACTIONS)
    return {scene.name: placement.places[scene.token] for scene in scenes if scene.token in placement.places}


def test_drv_40_official_lists_are_disjoint_and_as_long_as_published() -> None:
    """700, 150 and 150 scenes, and 8 and 2 of the mini set (arXiv 1903.11027, section 3; nuscenes.org)."""
    full = [official_split("v1.0-trainval", name) for name in NAMES]
    assert [full.count(split) for split in (Split.TRAIN, Split.VAL, Split.TEST)] == [700, 150, 150]
    mini = {int(name[6:]): official_split("v1.0-mini", name) for name in NAMES}
    assert {number for number, split in mini.items() if split == Split.TRAIN} == {
        *(61, 553, 655, 757, 796, 1077, 1094, 1100)
    }
    assert {number for number, split in mini.items() if split not in (Split.TRAIN, None)} == {103, 916}


@pytest.mark.parametrize(
    ("version", "scene", "split"),
    [
        ("v1.0-trainval", "scene-0001", Split.TRAIN),
        ("v1.0-trainval", "scene-0003", Split.VAL),
        ("v1.0-test", "scene-0077", Split.TEST),
        # Merged tables keep the official split of each scene.
        ("merged", "scene-0077", Split.TEST),
        # scene-0553 is of the validation set, but of the training half of the mini set.
        ("v1.0-trainval", "scene-0553", Split.VAL),
        ("v1.0-mini", "scene-0553", Split.TRAIN),
        ("v1.0-mini", "scene-0916", Split.VAL),
        ("v1.0-mini", "scene-0001", None),
        ("v1.0-trainval", "scene-0037", None),
        ("v1.0-trainval", "scene-61", None),
    ],
)
def test_drv_40_official_split_of_known_scenes(version: str, scene: str, split: Split | None) -> None:
    assert official_split(version, scene) == split


def test_drv_40_official_validation_scenes_are_tested_on_and_training_scenes_never_are() -> None:
    scenes = [Driven(name, log=f"log-{number % 60}") for number, name in enumerate(NAMES)]
    places = placed(scenes, "official")
    assert len(places) == 1000
    for name, place in places.items():
        assert place.group == name
        if official_split("v1.0-trainval", name) == Split.TRAIN:
            assert place.fixed_split in (Split.TRAIN, Split.VAL)
        else:
            assert place.fixed_split == Split.TEST
    assert {place.fixed_split for place in places.values()} == set(Split)


def test_drv_40_official_training_scenes_of_one_log_are_drawn_together() -> None:
    scenes = [Driven(name, log=f"log-{number % 60}") for number, name in enumerate(NAMES)]
    places = placed(scenes, "official")
    drawn: dict[str, set[Split | None]] = {}
    for scene in scenes:
        if official_split("v1.0-trainval", scene.name) == Split.TRAIN:
            drawn.setdefault(scene.log, set()).add(places[scene.name].fixed_split)
    assert len(drawn) == 60
    assert all(len(splits) == 1 for splits in drawn.values())
    assert {Split.TRAIN} in drawn.values()
    assert {Split.VAL} in drawn.values()


@pytest.mark.parametrize("seed", range(3))
def test_drv_40_a_training_log_is_validated_on_as_often_as_asked_for_and_never_tested_on(seed: int) -> None:
    fractions = SplitFractions(val=0.3, test=0.6, seed=seed)
    drawn = [draw_training(f"log-{number}", fractions) for number in range(1000)]
    assert set(drawn) == {Split.TRAIN, Split.VAL}
    # 300 are expected; five standard deviations of a binomial are 72.
    assert 228 < drawn.count(Split.VAL) < 372


def test_drv_40_official_says_how_many_logs_it_divides() -> None:
    scenes = [
        Driven("scene-0001", log="a"),  # train
        Driven("scene-0003", log="a"),  # val
        Driven("scene-0002", log="b"),  # train
        Driven("scene-0012", log="c"),  # val
    ]
    (note,) = divide(scenes, "official", "v1.0-trainval", FRACTIONS).notes
    assert "divides 1 of 3 logs" in note
    assert not divide(scenes[1:], "official", "v1.0-trainval", FRACTIONS).notes


def test_drv_40_a_scene_on_no_official_list_is_left_out() -> None:
    placement = divide([Driven("scene-0001"), Driven("drive-7")], "official", "v1.0-trainval", FRACTIONS)
    assert list(placement.places) == ["token of scene-0001"]
    (reject,) = placement.rejects
    assert (reject.input, reject.reason, reject.severity) == ("drive-7", "no-official-split", Severity.SKIPPED)
    assert reject.action is not None


def test_drv_40_official_lists_without_any_of_the_scenes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"none of 2 scenes.*Split by scene"):
        divide([Driven("drive-7"), Driven("drive-8")], "official", "annotation", FRACTIONS)


def test_drv_40_by_log_scenes_of_one_log_share_a_group() -> None:
    scenes = [Driven("a", log="x"), Driven("b", log="y"), Driven("c", log="x")]
    assert placed(scenes, "log") == {"a": Place("x"), "b": Place("y"), "c": Place("x")}
    assert placed(scenes, "scene") == {"a": Place("a"), "b": Place("b"), "c": Place("c")}


def test_drv_40_by_location_names_the_locations_and_leaves_out_the_unknown() -> None:
    scenes = [Driven("a", location="boston"), Driven("b", location=None), Driven("c", location="boston")]
    placement = divide(scenes, "location", "v1.0-trainval", FRACTIONS)
    assert set(placement.places.values()) == {Place("boston")}
    assert [(reject.input, reject.reason, reject.severity) for reject in placement.rejects] == [
        ("b", "no-location", Severity.FAILED)
    ]
    assert "boston (2)" in placement.notes[0]
    with pytest.raises(UsageError, match="none of 1 scenes"):
        divide(scenes[1:2], "location", "v1.0-trainval", FRACTIONS)


@pytest.mark.parametrize("split_by", ["official", "scene", "log", "location"])
def test_drv_40_order_of_scenes_does_not_matter(split_by: str) -> None:
    scenes = [Driven(name, log=name[-1], location=name[-2]) for name in NAMES[:50]]
    assert divide(scenes, split_by, "x", FRACTIONS) == divide(scenes[::-1], split_by, "x", FRACTIONS)


def test_no_scenes_have_no_places() -> None:
    assert not divide([], "official", "v1.0-test", FRACTIONS).places
