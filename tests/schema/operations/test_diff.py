"""What is different between two data sets: by id, by part, and in how they were made."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from builders import PROVENANCE, make_image, make_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_sets import Given, edit_lines, edit_manifest, write_set

from domainvl.errors import DatasetError, UsageError
from domainvl.schema import BoxesAnswer, Object, OrientedBox, Sample, Split, Task, TextAnswer, Turn
from domainvl.schema.operations import ChangedSample, DiffSettings, diff_datasets
from domainvl.schema.operations.diff import PARTS

TRAIN, VAL, TEST = Split


def thing(identifier="1", box_px=(10, 10, 60, 40), label="ship", **fields):
    return Object(id=identifier, label=label, box_px=box_px, **fields)


def detection(*things):
    answer = BoxesAnswer(object_ids=tuple(one.id for one in things))
    return {"task": Task.DETECTION, "answer": answer, "objects": things}


def one_sample(tmp_path, name, given):
    return write_set(tmp_path / name, [given])


def changed_parts(tmp_path, before, after, **options):
    """Which parts differ between two samples of the same id."""
    found = diff_datasets(
        one_sample(tmp_path, "before", before), one_sample(tmp_path, "after", after), DiffSettings(**options)
    )
    assert (found.added_count, found.removed_count, found.manifest) == (0, 0, ())
    assert found.changed_count + found.same_count == 1
    assert found.changed_parts == dict.fromkeys(found.changed[0].parts if found.changed else (), 1)
    return set(found.changed_parts)


def test_a_data_set_equals_itself_and_its_copy(tmp_path):
    samples = [Given("a", "a"), Given("b", "b", TEST, [1, 2], detection(thing())), Given("c", "c", greys=[])]
    one = write_set(tmp_path / "one", samples)
    copy = write_set(tmp_path / "copy", samples)

    for other in (one, copy):
        found = diff_datasets(one, other)
        assert found.equal
        assert found.same_count == 3
        assert (found.added, found.removed, found.changed, found.changed_parts, found.manifest) == ((), (), (), {}, ())


def test_the_order_of_lines_and_keys_is_no_difference(tmp_path):
    samples = [
        Given("a", "a"),
        Given("b", "b"),
        Given("c", "b", fields=detection(thing("1"), thing("2", (1, 1, 5, 5)))),
    ]
    one = write_set(tmp_path / "one", samples)
    other = write_set(tmp_path / "other", samples[::-1])
    edit_lines(other, TRAIN, lambda record: dict(sorted(record.items(), reverse=True)))

    assert diff_datasets(one, other).equal


def test_what_was_added_and_removed_is_named_in_order(tmp_path):
    one = write_set(tmp_path / "one", [Given("ü"), Given("b"), Given("a")])
    other = write_set(tmp_path / "other", [Given("z"), Given("b"), Given("y", "y", TEST)])

    found = diff_datasets(one, other)

    assert (found.added, found.added_count) == (("z", "y"), 2)
    assert (found.removed, found.removed_count) == (("ü", "a"), 2)
    assert (found.changed_count, found.same_count) == (0, 1)
    assert not found.equal
    assert found.counts == (
        {"split": "train", "task": "vqa", "first": 3, "second": 2},
        {"split": "test", "task": "vqa", "first": 0, "second": 1},
    )


CHANGES = {
    "domain": ({"domain": "medical"}, {"domain"}),
    "question": ({"question": "Where?"}, {"question", "turns"}),
    "answer": ({"answer": TextAnswer(text="a heart")}, {"answer", "turns"}),
    # The first answer is the one that is said; what else is accepted is not.
    "accepted": ({"answer": TextAnswer(text="a lung", accepted=("lungs",))}, {"answer"}),
    "provenance": ({"provenance": PROVENANCE.model_copy(update={"version": "9"})}, {"provenance"}),
    "warnings": ({"warnings": ("blurred",)}, {"warnings"}),
    "fixed_split": ({"fixed_split": TRAIN}, {"split"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_part_that_changed_is_named(tmp_path, name):
    fields, expected = CHANGES[name]

    assert changed_parts(tmp_path, Given("a"), Given("a", fields=fields)) == expected


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (Given("a", "h"), {"group"}),
        (Given("a", split=VAL), {"split"}),
        (Given("a", greys=[8]), {"images", "source"}),  # the builder names the source after the grey
        (Given("a", greys=[7, 7]), {"images", "source", "turns"}),
        (Given("a", greys=[]), {"images", "source", "turns"}),
    ],
)
def test_group_split_and_images_are_told_apart(tmp_path, after, expected):
    assert changed_parts(tmp_path, Given("a"), after) == expected


def test_every_field_of_a_sample_belongs_to_a_part(tmp_path):
    """Whatever a record says, a change of it is seen."""
    rich = make_sample(
        "a",
        fixed_split=TRAIN,
        warnings=("w",),
        task=Task.GROUNDING,
        question="the ship",
        earlier=(Turn(role="human", text="How many?"), Turn(role="assistant", text="1")),
        preface="Look.",
        phrasing=1,
        images=[make_image(view="CAM", frame=2)],
        answer=BoxesAnswer(object_ids=("1",)),
        objects=[thing(attributes={"height_m": 3}, visible_fraction=0.5)],
    )
    assert set(Sample.model_fields) - set(rich.model_dump(exclude_none=True)) == set()
    one = write_set(tmp_path / "one", [Given("a", fields=rich.model_dump(include={"warnings"}))])
    edit_lines(one, TRAIN, lambda record: record | {"domainvl": record["domainvl"] | record_of(rich)["domainvl"]})
    edit_lines(one, TRAIN, lambda record: record | {"third": 1})
    (record,) = [json.loads(line) for line in (one / "train.jsonl").read_text().splitlines()]

    from domainvl.schema.operations.diff import _parts
    from domainvl.schema.operations.rows import canonical

    before = [canonical(part) for part in _parts(record)]
    paths = [path for path in leaves(record) if path not in (("id",), ("image",), ("domainvl", "schema_version"))]
    unseen = [path for path in paths if [canonical(part) for part in _parts(changed(record, path))] == before]
    assert len(paths) > 30
    assert unseen == []


def record_of(sample):
    from domainvl.schema.record import to_record

    return to_record(sample)


def leaves(value, path=()):
    if isinstance(value, dict):
        return [leaf for key, part in value.items() for leaf in leaves(part, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, part in enumerate(value) for leaf in leaves(part, (*path, index))]
    return [path]


def changed(record, path):
    copy = json.loads(json.dumps(record))
    part = copy
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = "changed"
    return copy


def test_another_label_is_objects_and_another_box_is_boxes(tmp_path):
    before = Given("a", fields=detection(thing()))

    assert changed_parts(tmp_path, before, Given("a", fields=detection(thing(label="tank")))) == {"objects", "turns"}
    (tmp_path / "2").mkdir()
    moved = Given("a", fields=detection(thing(box_px=(10, 10, 70, 40))))
    assert changed_parts(tmp_path / "2", before, moved) == {"boxes", "turns"}


@pytest.mark.parametrize("tolerance_px", [0.0, 1.0])
def test_another_object_is_no_other_box(tmp_path, tolerance_px):
    one = one_sample(tmp_path, "one", Given("a", fields={"objects": [thing()]}))
    two = one_sample(tmp_path, "two", Given("a", fields={"objects": [thing(), thing("2")]}))

    for pair in ((one, two), (two, one)):
        assert diff_datasets(*pair, DiffSettings(tolerance_px=tolerance_px)).changed_parts == {"objects": 1}


def test_without_a_tolerance_a_thousandth_in_the_conversation_is_seen(tmp_path):
    """Also where the boxes had to be looked at one by one."""
    before = {"task": Task.DETECTION, "answer": BoxesAnswer(object_ids=("1",))}
    one = one_sample(tmp_path, "one", Given("a", fields=before | {"objects": [thing()]}))
    two = one_sample(tmp_path, "two", Given("a", fields=before | {"objects": [thing(), thing("2")]}))
    text = (two / "train.jsonl").read_text()
    assert "[[50," in text  # 10 of 200 px
    (two / "train.jsonl").write_text(text.replace("[[50,", "[[51,"))

    assert diff_datasets(one, two).changed_parts == {"objects": 1, "turns": 1}


@pytest.mark.parametrize(
    ("moved_px", "tolerance_px", "expected"),
    [
        (0.5, 0.0, {"boxes"}),
        (0.5, 0.5, set()),
        (0.5, 0.49, {"boxes"}),
        (-0.5, 0.5, set()),
        (3.0, 2.0, {"boxes"}),
        (3.0, 3.0, set()),
    ],
)
@pytest.mark.parametrize("corner", range(4))
def test_boxes_within_the_tolerance_are_equal(tmp_path, moved_px, tolerance_px, expected, corner):
    box_px = [10.0, 10.0, 60.0, 40.0]
    before = Given("a", fields={"objects": [thing(box_px=tuple(box_px))]})
    box_px[corner] += moved_px
    after = Given("a", fields={"objects": [thing(box_px=tuple(box_px))]})

    assert changed_parts(tmp_path, before, after, tolerance_px=tolerance_px) == expected


OUTLINES = {
    "polygon": ({"polygons_px": (((1, 1), (9, 1), (9, 9)),)}, {"polygons_px": (((1, 1), (9, 1), (9, 9.4)),)}, True),
    "more corners": ({"polygons_px": (((1, 1), (9, 1), (9, 9)),)}, {"polygons_px": (((1, 1), (9, 1)),)}, False),
    "no polygon": ({"polygons_px": (((1, 1), (9, 1), (9, 9)),)}, {}, False),
    "point": ({"point_px": (4, 4)}, {"point_px": (4.4, 3.6)}, True),
    "no point": ({}, {"point_px": (4, 4)}, False),
    "oriented": (
        {"oriented_box_px": OrientedBox(center_x_px=5, center_y_px=5, width_px=4, height_px=2, angle_deg=30)},
        {"oriented_box_px": OrientedBox(center_x_px=5.4, center_y_px=5, width_px=4, height_px=2.4, angle_deg=30)},
        True,
    ),
    "turned": (
        {"oriented_box_px": OrientedBox(center_x_px=5, center_y_px=5, width_px=4, height_px=2, angle_deg=30)},
        {"oriented_box_px": OrientedBox(center_x_px=5, center_y_px=5, width_px=4, height_px=2, angle_deg=30.1)},
        False,  # degrees are no pixels
    ),
}


@pytest.mark.parametrize("name", OUTLINES)
def test_the_tolerance_is_for_all_outlines_in_pixels(tmp_path, name):
    before, after, within = OUTLINES[name]
    given_before, given_after = (Given("a", fields={"objects": [thing(**part)]}) for part in (before, after))

    assert changed_parts(tmp_path, given_before, given_after, tolerance_px=0.5) == (set() if within else {"boxes"})
    (tmp_path / "exact").mkdir()
    assert changed_parts(tmp_path / "exact", given_before, given_after) == {"boxes"}


def test_the_conversation_may_differ_by_the_tolerance_too(tmp_path):
    """On 200 px a move of 2 px is 10 thousandths; the text of the boxes follows."""
    before = Given("a", fields=detection(thing(box_px=(10, 10, 60, 40))))
    after = Given("a", fields=detection(thing(box_px=(12, 10, 60, 40))))
    assert changed_parts(tmp_path, before, after) == {"boxes", "turns"}
    for name, tolerance_px, expected in (("a", 2.0, set()), ("b", 1.9, {"boxes", "turns"})):
        (tmp_path / name).mkdir()
        assert changed_parts(tmp_path / name, before, after, tolerance_px=tolerance_px) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [("[50,", "[90,"), ("[50,", "[x50,"), ("ship", "tank"), ("following image", "image"), ("<box>", "")],
)
def test_other_words_or_far_boxes_in_the_conversation_are_seen_in_spite_of_the_tolerance(tmp_path, old, new):
    one = one_sample(tmp_path, "one", Given("a", fields=detection(thing())))
    other = one_sample(tmp_path, "other", Given("a", fields=detection(thing())))
    text = (other / "train.jsonl").read_text()
    turns = text[text.index('"conversations"') : text.index('"domainvl"')]
    assert old in turns
    (other / "train.jsonl").write_text(text.replace(turns, turns.replace(old, new)))

    # 2 px of 100 are 20 thousandths; 50 and 90 are 40 apart.
    found = diff_datasets(one, other, DiffSettings(tolerance_px=2.0))

    assert found.changed_parts == {"turns": 1}


def test_no_more_ids_than_asked_for_are_named_but_all_are_counted(tmp_path):
    one = write_set(tmp_path / "one", [Given(f"a{n}") for n in range(5)] + [Given(f"c{n}") for n in range(4)])
    other = write_set(
        tmp_path / "other",
        [Given(f"b{n}") for n in range(6)] + [Given(f"c{n}", fields={"domain": "medical"}) for n in range(4)],
    )

    found = diff_datasets(one, other, DiffSettings(limit=2))

    assert (found.removed, found.removed_count) == (("a0", "a1"), 5)
    assert (found.added, found.added_count) == (("b0", "b1"), 6)
    assert (found.changed, found.changed_count) == (
        (ChangedSample("c0", ("domain",)), ChangedSample("c1", ("domain",))),
        4,
    )
    assert found.changed_parts == {"domain": 4}
    assert diff_datasets(one, other, DiffSettings(limit=0)).added == ()


def test_settings_versions_licences_and_rejects_are_compared(tmp_path):
    one, other = (write_set(tmp_path / name, [Given("a")]) for name in ("one", "other"))
    edit_manifest(
        one, settings={"grey": 1, "bands": [3, 2], "deep": {"x": None}, "same": True}, versions={"gdal": "3.9"}
    )
    edit_manifest(
        other, settings={"grey": 1.5, "bands": [3], "deep": {}, "same": True}, versions={"gdal": "3.9", "numpy": "2"},
        licence=None, command="convert geotiff",
    )  # fmt: skip

    found = diff_datasets(one, other)

    assert not found.equal
    assert {row["key"]: (row.get("first", "-"), row.get("second", "-")) for row in found.manifest} == {
        "command": ("toy", "convert geotiff"),
        "settings.grey": (1, 1.5),
        "settings.bands[1]": (2, "-"),
        "settings.deep.x": (None, "-"),
        "settings.deep": ("-", {}),
        "versions.numpy": ("-", "2"),
        "licence": ("CC0-1.0", None),
    }
    assert found.same_count == 1


def test_the_name_of_a_data_set_is_no_difference(tmp_path):
    assert diff_datasets(one_sample(tmp_path, "a", Given("s")), one_sample(tmp_path, "b", Given("s"))).equal


def test_as_json(tmp_path):
    one = write_set(tmp_path / "one", [Given("ü"), Given("c")])
    other = write_set(tmp_path / "other", [Given("c", fields={"domain": "medical"})])

    text = json.dumps(diff_datasets(one, other).to_json())

    assert json.loads(text) == {
        "equal": False,
        "added_count": 0,
        "removed_count": 1,
        "changed_count": 1,
        "same_count": 0,
        "changed_parts": {"domain": 1},
        "added": [],
        "removed": ["ü"],
        "changed": [{"id": "c", "parts": ["domain"]}],
        "counts": [{"split": "train", "task": "vqa", "first": 2, "second": 1}],
        "manifest": [],
    }


SETS = st.dictionaries(st.integers(0, 12), st.tuples(st.integers(0, 2), st.sampled_from(["general", "medical"])))


@settings(deadline=None, max_examples=40)
@given(SETS, SETS)
def test_the_other_way_round_added_and_removed_change_places(first, second):
    with tempfile.TemporaryDirectory() as name:
        folders = [
            write_set(
                Path(name) / label,
                [
                    Given(f"s{n}", f"g{n}", Split(("train", "val", "test")[n % 3]), [grey], {"domain": domain})
                    for n, (grey, domain) in content.items()
                ],
            )
            for label, content in (("one", first), ("two", second))
        ]
        there, back = diff_datasets(*folders), diff_datasets(*folders[::-1])

    assert set(there.added) == set(back.removed) == {f"s{n}" for n in second.keys() - first.keys()}
    assert set(there.removed) == set(back.added) == {f"s{n}" for n in first.keys() - second.keys()}
    assert set(there.changed) == set(back.changed)
    assert {one.id for one in there.changed} == {f"s{n}" for n in first.keys() & second.keys() if first[n] != second[n]}
    assert there.equal == back.equal == (first == second)
    assert there.changed_parts == back.changed_parts


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    one = write_set(tmp_path / "one", [Given("a"), Given("b")])
    with (one / "train.jsonl").open("a") as file:
        file.write((one / "train.jsonl").read_text().splitlines()[0] + "\n")

    with pytest.raises(
        DatasetError, match=r"one/train\.jsonl:3: ids must be unique, and 'a' is also that of .*one/train\.jsonl:1"
    ):
        diff_datasets(one, write_set(tmp_path / "other", []))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"tolerance_px": -1.0}, "--tolerance-px must be 0 or more, got -1"),
        ({"tolerance_px": float("nan")}, "--tolerance-px must be 0 or more, got nan"),
        ({"limit": -1}, "--limit must be 0 or more, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, options, rule):
    one = one_sample(tmp_path, "one", Given("a"))

    with pytest.raises(UsageError, match=rule):
        diff_datasets(one, one, DiffSettings(**options))


def test_parts_are_told_in_a_fixed_order(tmp_path):
    one = one_sample(tmp_path, "one", Given("a"))
    other = one_sample(tmp_path, "other", Given("a", "h", TEST, [1, 2], {"domain": "medical", "warnings": ("w",)}))

    (found,) = diff_datasets(one, other).changed

    assert list(found.parts) == [part for part in PARTS if part in found.parts]
    assert set(found.parts) == {"domain", "images", "turns", "split", "group", "source", "warnings"}
