"""The tables of phrases: the published one comes first, and a question can be put into each."""

from __future__ import annotations

import re
import string
from collections import Counter

import pytest

from domainvl.schema import Phrasing, Task
from domainvl.schema.phrases import prompts, stems

SLOTS = {"label": "LABEL", "other": "OTHER", "place": "in PLACE", "whole": "WHOLE", "classes": "CLASSES",
         "first": "FIRST", "second": "SECOND", "count": "COUNT", "last": "LAST"}  # fmt: skip
STEMS = ["presence", "counting", "comparison", "share", "area-m2", "area-ha", "dominant-count", "dominant-area",
         "detection", "region", "region-caption", "caption", "more-area", "change", "change-count", "change-area",
         "change-share", "class", "class-choice", "stated", "property", "visible-choice", "length-mm", "area-mm2",
         "marked", "report-findings", "report-impression", "report-section", "report-text",
         "view", "distance-m", "motion", "surroundings", "driving-scene", "behaviour", "clip-behaviour", "clip-motion",
         "clip-distance", "clip-speed-change"]  # fmt: skip
NOT_BY_LABEL = ("class", "class-choice", "region", "clip-motion", "clip-distance")
"""Name no class, or one single thing on the road, of which every label is singular."""


@pytest.mark.parametrize("domain", ["general", "remote-sensing", "driving"])
@pytest.mark.parametrize("task", list(Task))
def test_every_task_has_prompts_with_a_source(domain, task):
    table = prompts(domain, task)

    assert len({phrase.text for phrase in table}) == len(table)
    for phrase in table:
        assert phrase.source
        # Only detection, of which the published prompt names no class, may leave out what it asks for.
        places = [name for _, name, _, _ in string.Formatter().parse(phrase.text) if name is not None]
        in_line = task is Task.MULTIPLE_CHOICE and places == ["", ""]  # the question, and the options behind it
        assert places == [""] or in_line or (task is Task.DETECTION and not places)


def test_remote_sensing_has_the_same_prompts_of_grounding_in_another_order():
    general, remote = (prompts(domain, Task.GROUNDING) for domain in ("general", "remote-sensing"))

    assert general != remote
    assert Counter(general) == Counter(remote)


@pytest.mark.parametrize("name", STEMS)
def test_all_ways_to_ask_name_the_same_things(name):
    ways = stems(name, **SLOTS)

    assert len(set(ways)) == len(ways)
    for slot in ("LABEL", "OTHER", "CLASSES", "FIRST", "SECOND"):
        assert len({slot in way for way in ways}) == 1
    assert len({"PLACE" in way or "WHOLE" in way for way in ways}) == 1
    assert "{" not in "".join(ways)


@pytest.mark.parametrize("name", [name for name in STEMS if name not in NOT_BY_LABEL])
def test_no_verb_depends_on_the_number_of_a_label(name):
    """Both "trees" and "water" are labels: none may be the subject of a verb that would have to agree with it."""
    for way in stems(name, **SLOTS):
        assert not re.search(r"\b(?:do|does|is|are|has|have|was|were) (?:LABEL|OTHER)\b", way, re.IGNORECASE)
        assert not re.search(r"(?<!instances of )(?:LABEL|OTHER) (?:is|are|cover|covers|has|have)\b", way)


def test_tables_have_only_grown_at_their_ends():
    """A sample stores the place of its prompt, and the first stem of a table is the one that is asked by default."""
    published = "Answer the question using a single word or phrase."
    for task in (Task.VQA, Task.PRESENCE, Task.COUNTING, Task.AREA, Task.LENGTH):
        assert [phrase.text for phrase in prompts("medical", task)] == [f"{{}}\n{published}"]
    assert stems("marked", label="organ", other="a box")[0].startswith(
        "Which of the following options best matches the marked organ"
    )


def test_labels_with_braces_are_left_alone():
    assert stems("presence", label="{0} {x}", place="in it", whole="it")[0] == "Is there any {0} {x} in it?"


def test_without_variety_the_first_is_taken():
    assert {Phrasing(seed=seed).choose("key", 5) for seed in range(9)} == {0}


def test_with_variety_all_are_taken_about_as_often():
    chosen = Counter(Phrasing(varied=True, seed=1).choose(str(number), 3) for number in range(900))

    # 300 each; five standard deviations are 71.
    assert set(chosen) == {0, 1, 2}
    assert all(abs(count - 300) < 71 for count in chosen.values())
    assert Phrasing(varied=True, seed=1).choose("7", 1) == 0
