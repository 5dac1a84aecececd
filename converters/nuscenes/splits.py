"""Which scenes must stay together, and which split the makers of nuScenes put a scene in.

Key frames come twice a second, so frames of one scene are never divided; scenes of one log may still show the same
street on the same day.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from domainvl.errors import UsageError
from domainvl.schema import Reject, Severity, Split
from domainvl.schema.splitting import SplitFractions, assign_split

from .settings import SplitBy

_LISTS: dict[str, str] = {
    "train": (
        "1-2 4-11 19-34 41-76 120-135 138-139 149-152 154-155 157-168 170-185 187-188 190-196 199-200 202-204 206-214 "
        "218-220 222 224-264 283-306 315-318 321 323-324 328 347-386 388-403 405-408 410-459 461-465 467-469 471-472 "
        "474-480 499-502 504-515 517-518 525-539 541-546 566 568 570-578 580 582-600 639-679 681 683-689 695-698 "
        "700-701 703-719 726-728 730-731 733-741 744 746-747 749-752 757-765 767-769 786-787 789-792 803-806 808-813 "
        "815-817 819-822 847-856 858 860-866 868-873 875-878 880 882-903 945 947 949 952-953 955-961 975-984 988-992 "
        "994-1025 1044-1058 1074-1102 1104-1110"
    ),
    "val": (
        "3 12-18 35-36 38-39 92-110 221 268-278 329-332 344-346 519-524 552-565 625-627 629-630 632-638 770-771 775 "
        "777-778 780-784 794-800 802 904-917 919-931 962-963 966-969 971-972 1059-1073"
    ),
    "test": (
        "77-91 111-119 140 142-148 265-266 279-282 307-314 333-343 481-498 547-551 601-604 606-624 827-831 833-842 "
        "844-846 932-933 935-943 1026-1043"
    ),
    "mini_train": "61 553 655 757 796 1077 1094 1100",
    "mini_val": "103 916",
}
"""Numbers of the scenes of each official split, 700, 150, 150, 8 and 2 of them (nuscenes-devkit 1.2.0,
python-sdk/nuscenes/utils/splits.py, Apache-2.0; scene-0061 is 61). The two small ones are of v1.0-mini, where a scene
may be in another split than in the full set."""

_FULL_LISTS: dict[str, Split] = {"train": Split.TRAIN, "val": Split.VAL, "test": Split.TEST}
_MINI_LISTS: dict[str, Split] = {"mini_train": Split.TRAIN, "mini_val": Split.VAL}


_VERSIONS = ("v1.0-mini", "v1.0-trainval", "v1.0-test")


class DrivenScene(Protocol):
    """What is to be known of a scene to place it."""

    @property
    def token(self) -> str:
        """Its token."""
        ...

    @property
    def name(self) -> str:
        """Its name, such as ``"scene-0061"``."""
        ...

    @property
    def log(self) -> str:
        """The log that it was cut from."""
        ...

    @property
    def location(self) -> str | None:
        """Where it was driven."""
        ...


@dataclass(frozen=True)
class Place:
    """Where the samples of a scene go: what they must stay together with, and their split where it is not drawn."""

    group: str
    fixed_split: Split | None = None


@dataclass(frozen=True)
class Placement:
    """Where all scenes go.

    Attributes:
        places: By token of the scene.
        rejects: Scenes that have no place.
        notes: What is to be known about the splits.
    """

    places: Mapping[str, Place]
    rejects: Sequence[Reject] = ()
    notes: Sequence[str] = ()


def official_split(version: str, scene: str) -> Split | None:
    """Return the split that a scene has officially; None where it is on no list.

    Args:
        version: The folder of tables. One that ends in ``-mini`` has lists of its own; in any other a scene is looked
            up by its name among all thousand, also where tables were merged.
        scene: Name of the scene.
    """
    return _official(version.endswith("-mini")).get(scene)


def is_nuscenes(version: str, scenes: Iterable[DrivenScene]) -> bool:
    """Say whether tables are those of nuScenes itself: by version, and by the names of all scenes."""
    official = _official(mini=False)
    return version in _VERSIONS and all(scene.name in official for scene in scenes)


def usual_split(version: str, scenes: Sequence[DrivenScene]) -> SplitBy:
    """Say how scenes are divided where nobody decides: officially if all of them are on nuScenes' lists, else by scene.

    A scene of the full set under the version of the small one is on no list, and would be left out.
    """
    listed = is_nuscenes(version, scenes) and all(official_split(version, scene.name) for scene in scenes)
    return "official" if listed else "scene"


@cache
def _official(mini: bool) -> Mapping[str, Split]:
    """Return the official split of each scene."""
    lists = _MINI_LISTS if mini else _FULL_LISTS
    return {f"scene-{number:04d}": split for name, split in lists.items() for number in _numbers(_LISTS[name])}


def _numbers(text: str) -> Iterable[int]:
    for part in text.split():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def divide(scenes: Iterable[DrivenScene], split_by: SplitBy, version: str, fractions: SplitFractions) -> Placement:
    """Divide scenes over splits: decide what stays together, and what is fixed already.

    By scene, log or location, that is the group, and its split is drawn from its name. By the official lists, the
    scenes of the official validation and test sets become the test split. Those of the official training set are
    drawn into training and validation, all that come from one log into the same.

    Args:
        scenes: The scenes.
        split_by: What decides.
        version: The folder of tables.
        fractions: Shares of the splits that are drawn; with official lists only that of validation matters.

    Raises:
        UsageError: If no scene has a place: none is on the official lists, or no location is known.
    """
    in_order = sorted(scenes, key=lambda scene: (scene.name, scene.token))
    if split_by == "official":
        placement = _by_official_lists(in_order, version, fractions)
    elif split_by == "location":
        placement = _by_location(in_order)
    elif split_by == "log":
        placement = Placement({scene.token: Place(scene.log) for scene in in_order})
    else:
        placement = Placement({scene.token: Place(scene.name) for scene in in_order})
    if in_order and not placement.places:
        raise UsageError(
            "Cannot split",
            rule=f"--split-by {split_by} has a place for none of {len(in_order)} scenes; the first: "
            f"{placement.rejects[0].message}",
            action="Split by scene or by log",
        )
    return placement


def draw_training(log: str, fractions: SplitFractions) -> Split:
    """Draw the split of a scene of an official training set: training or validation, equal for all of its log.

    All sets on nuScenes draw so, whatever tells them which scenes are the official training set: they can be merged.

    Args:
        log: Name of the log that the scene was cut from. What is validated on is then not driven past in training.
        fractions: Shares of the splits; only that of validation matters, since the test split is official.
    """
    return assign_split(log, fractions.model_copy(update={"test": 0.0}))


def _by_official_lists(scenes: Sequence[DrivenScene], version: str, fractions: SplitFractions) -> Placement:
    places: dict[str, Place] = {}
    rejects: list[Reject] = []
    sets_of_log: dict[str, set[Split]] = defaultdict(set)
    for scene in scenes:
        split = official_split(version, scene.name)
        if split is None:
            message = f"{scene.name} is on none of the official lists of scenes"
            action = "Split by scene or by log"
            rejects.append(Reject(scene.name, "plan", "no-official-split", message, action, Severity.SKIPPED))
            continue
        sets_of_log[scene.log].add(split)
        # The group is the scene all the same, because official test scenes of the same log go elsewhere.
        fixed = draw_training(scene.log, fractions) if split is Split.TRAIN else Split.TEST
        places[scene.token] = Place(scene.name, fixed)
    divided = sum(len(splits) > 1 for splits in sets_of_log.values())
    notes = (
        [
            f"The official split divides {divided} of {len(sets_of_log)} logs: scenes of one drive are in several "
            "official sets. To keep logs whole: --split-by log"
        ]
        if divided
        else []
    )
    return Placement(places, rejects, notes)


def _by_location(scenes: Sequence[DrivenScene]) -> Placement:
    places = {scene.token: Place(scene.location) for scene in scenes if scene.location}
    rejects = [
        Reject(
            scene.name,
            "plan",
            "no-location",
            f"The tables do not say where {scene.name} was driven",
            "Add the table of logs, or split by scene or by log",
        )
        for scene in scenes
        if not scene.location
    ]
    counts = Counter(place.group for place in places.values())
    listed = ", ".join(f"{group} ({count})" for group, count in sorted(counts.items()))
    notes = [f"A split is drawn for each location as a whole. Scenes by location: {listed}"] if places else []
    return Placement(places, rejects, notes)
