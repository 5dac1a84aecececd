from __future__ import annotations

import math

import pytest
import shapely

from domainvl.converters.medical.findings import Finding, SliceTruth, one_spelling, to_objects
from domainvl.converters.medical.pixel_map import PixelMap

SAME = PixelMap.identity(20, 20)
# Turned by 90 degrees, twice as wide: a stored image of 20x10 px becomes one of 20x20 px.
TURNED = PixelMap((0.0, 2.0, 0.0, 1.0, 0.0, 0.0), 20, 20)


def shown(*findings, pixel_map=SAME):
    return to_objects(SliceTruth(findings), pixel_map, key="patient/series/0001")


def test_boxes_are_cut_to_the_image():
    objects, rejects = shown(
        Finding("labels/2", "a", (-5, 0, 5, 10)),
        Finding("labels/3", "b", (50, 0, 60, 10)),
        Finding("labels/4", "c", (0, 0, 20, 20)),
    )
    cut, outside, whole = objects
    assert (cut.box_px, cut.visible_fraction, cut.truncated) == ((0, 0, 5, 10), 0.5, True)
    assert (outside.ignore, outside.box_px) == (True, None)
    assert (whole.box_px, whole.visible_fraction, whole.truncated) == ((0, 0, 20, 20), 1, False)
    assert [(reject.reason, reject.input) for reject in rejects] == [("label-outside", "patient/series/0001 labels/3")]
    assert [thing.id for thing in objects] == ["finding-1", "finding-2", "finding-3"]


def test_boxes_rings_and_points_are_mapped_to_the_shown_image():
    ring = ((2, 1), (6, 1), (6, 4), (2, 4))
    objects, rejects = shown(
        Finding("a", "box", (2, 1, 6, 4)),
        Finding("b", "area", (2, 1, 6, 4), (ring,), 12.0),
        Finding("c", "point", point_px=(2, 1)),
        pixel_map=TURNED,
    )
    box, area, point = objects
    assert not rejects
    assert box.box_px == area.box_px == (2, 2, 8, 6)
    assert {*area.polygons_px[0]} == {(2, 2), (8, 2), (8, 6), (2, 6)} and len(area.polygons_px[0]) == 4
    assert point.point_px == (2, 2)
    assert not any(thing.truncated for thing in objects)


def test_areas_are_cut_by_their_shape_and_not_by_their_box():
    """A triangle with its right angle at (10, 0) and legs of 20: a quarter of its area lies right of x = 20."""
    objects, _ = shown(Finding("a", "wedge", (10, 0, 30, 20), (((10, 0), (30, 0), (10, 20)),), 200.0))
    (thing,) = objects
    assert thing.visible_fraction == pytest.approx(150 / 200)
    assert thing.truncated
    assert thing.box_px == pytest.approx((10, 0, 20, 20))
    assert shapely.Polygon(thing.polygons_px[0]).area == pytest.approx(150)


def test_parts_outside_are_dropped_and_the_box_shrinks():
    rings = (((1, 1), (3, 1), (3, 3), (1, 3)), ((30, 1), (32, 1), (32, 3), (30, 3)))
    ((thing,), rejects) = shown(Finding("a", "two", (1, 1, 32, 3), rings, 8.0))
    assert (len(thing.polygons_px), thing.box_px, thing.visible_fraction) == (1, (1, 1, 3, 3), 0.5)
    assert not rejects


def test_an_area_that_the_border_divides_has_several_rings():
    ring = ((15, 2), (25, 2), (25, 12), (15, 12), (15, 10), (22, 10), (22, 4), (15, 4))
    ((thing,), _) = shown(Finding("a", "u", (15, 2, 25, 12), (ring,), 58.0))
    assert sorted(shapely.Polygon(each).bounds for each in thing.polygons_px) == [(15, 2, 20, 4), (15, 10, 20, 12)]


def test_what_lies_outside_is_ignored_and_listed_without_its_texts():
    objects, rejects = shown(
        Finding("seg-1/3", "Jane Roe", (30, 1, 32, 3), (((30, 1), (32, 1), (32, 3)),), 2.0),
        Finding("rt-1/2", "iso", point_px=(20, 5)),
    )
    assert all(thing.ignore and thing.box_px is None and thing.point_px is None for thing in objects)
    assert [reject.input.split()[1] for reject in rejects] == ["seg-1/3", "rt-1/2"]
    assert all("Jane" not in f"{reject}" and "20x20" in reject.message for reject in rejects)


def test_unclear_and_placeless_findings():
    objects, rejects = shown(
        Finding("a", "unclear", clear=False),
        Finding("b", "somewhere", attributes={"length_mm": 3}),
        Finding("c", "unclear box", (1, 1, 2, 2), clear=False),
    )
    assert [(thing.ignore, thing.box_px) for thing in objects] == [(True, None), (False, None), (True, (1, 1, 2, 2))]
    assert objects[1].attributes == {"length_mm": 3}
    assert not rejects


def test_rounding_of_a_map_does_not_cut():
    turn = PixelMap((0.1 + 0.2, 0, 0, 0, 0.1 + 0.2, 0), 6, 6)
    ring = tuple((10 + 10 * math.cos(angle), 10 + 10 * math.sin(angle)) for angle in (0.0, 1.57, 3.14, 4.71))
    ((box, area), _) = shown(
        Finding("a", "a", (0, 0, 20, 20)), Finding("b", "b", (0, 0, 20, 20), (ring,), 200.0), pixel_map=turn
    )
    assert not box.truncated and not area.truncated
    assert area.box_px[2] <= 6


def test_labels_that_differ_in_case_only_are_one_class_as_the_first_is_spelt():
    table = SliceTruth((), ("Nodule",), (("EFFUSION", True),))
    joined = SliceTruth((Finding("seg-1/1", "nodule"),), ("CYST", "nodule"), (("Effusion", False),), (("Side", "L"),))
    first, nothing, second = one_spelling([table, None, joined])
    assert (first, nothing) == (table, None)
    assert second == SliceTruth(
        (Finding("seg-1/1", "Nodule"),), ("CYST", "Nodule"), (("EFFUSION", False),), (("Side", "L"),)
    )
    stated = SliceTruth((), (), (("Cyst", True),))
    assert one_spelling([joined, stated])[1].stated == (("CYST", True),)
    assert one_spelling([SliceTruth((), ("Straße", "STRASSE"))]) == [SliceTruth((), ("Straße",))]


def test_the_source_of_a_finding_is_the_first_part_of_its_name():
    assert [Finding(name, "a").source for name in ("seg-1/3/2.1", "labels/7")] == ["seg-1", "labels"]
