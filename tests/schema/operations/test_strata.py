"""Which stratum a sample belongs to."""

from __future__ import annotations

import pytest
from builders import make_sample

from domainvl.errors import UsageError
from domainvl.schema import BoxesAnswer, ChoiceAnswer, CountAnswer, Object, Task, TextAnswer
from domainvl.schema.operations import Stratify
from domainvl.schema.operations.strata import Strata


def strata_of(by, *samples):
    strata = Strata(by)
    for sample in samples:
        strata.add(sample)
    names, indices = strata.finish()
    assert names == sorted(set(names))
    return [names[index] for index in indices]


def thing(identifier, label, **fields):
    return Object(id=identifier, label=label, box_px=(1, 1, 9, 9), **fields)


SHIP_AND_TANK = [thing("1", "ship"), thing("2", "tank"), thing("3", "ship")]


def test_by_task_and_by_domain():
    samples = [make_sample(domain="medical"), make_sample(task=Task.COUNTING, answer=CountAnswer(count=1))]

    assert strata_of(Stratify.TASK, *samples) == ["vqa", "counting"]
    assert strata_of(Stratify.DOMAIN, *samples) == ["medical", "general"]
    assert strata_of(Stratify.NONE, *samples) == ["all", "all"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # What the answer names goes before what else is there.
        ({"task": Task.GROUNDING, "answer": BoxesAnswer(object_ids=("2",)), "objects": SHIP_AND_TANK}, "tank"),
        ({"task": Task.DETECTION, "answer": BoxesAnswer(object_ids=("1", "3")), "objects": SHIP_AND_TANK}, "ship"),
        ({"task": Task.CLASSIFICATION, "answer": TextAnswer(text="forest"), "objects": SHIP_AND_TANK}, "forest"),
        (
            {"task": Task.CLASSIFICATION, "answer": ChoiceAnswer(options=("lake", "sea"), correct=1)},
            "sea",
        ),
        # Free text is no class: each would be a stratum of its own.
        ({"task": Task.VQA, "answer": TextAnswer(text="two grey ships"), "objects": SHIP_AND_TANK[:1]}, "ship"),
        (
            {"task": Task.MULTIPLE_CHOICE, "answer": ChoiceAnswer(options=("x", "y"), correct=0)},
            "(no class)",
        ),
        ({"task": Task.COUNTING, "answer": CountAnswer(count=0)}, "(no class)"),
        (
            {
                "task": Task.PRESENCE,
                "answer": TextAnswer(text="no"),
                "objects": [thing("1", "ship", ignore=True), thing("2", "tank")],
            },
            "tank",
        ),
    ],
)
def test_by_class(fields, expected):
    assert strata_of(Stratify.CLASS, make_sample(**fields)) == [expected]


def test_of_several_classes_the_rarest_counts():
    both = make_sample(objects=SHIP_AND_TANK)
    tank = make_sample(objects=[SHIP_AND_TANK[1]])
    ship = make_sample(objects=[SHIP_AND_TANK[0]])

    # Two samples with a ship, three with a tank.
    assert strata_of(Stratify.CLASS, both, tank, tank) == ["ship", "tank", "tank"]
    # Three with a ship, two with a tank; the answer may depend on what comes later.
    assert strata_of(Stratify.CLASS, both, ship, ship, tank) == ["tank", "ship", "ship", "tank"]


def test_of_equally_rare_classes_the_first_by_name_counts():
    assert strata_of(Stratify.CLASS, make_sample(objects=SHIP_AND_TANK)) == ["ship"]


def test_another_word_is_refused():
    assert Stratify.parse("class") is Stratify.CLASS
    with pytest.raises(UsageError, match="--stratify must be one of none, task, class, domain, got 'colour'"):
        Stratify.parse("colour")
