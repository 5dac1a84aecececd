"""Samples of a stack that no file format stands behind."""

from __future__ import annotations

import numpy as np
import pytest
from builders import PROVENANCE
from PIL import Image

from domainvl.converters.medical.findings import Finding, SliceTruth
from domainvl.converters.medical.pixel_map import PixelMap
from domainvl.converters.medical.settings import MedicalSettings
from domainvl.converters.medical.stack import Shown, ShownView, SliceFacts, StackFacts
from domainvl.converters.medical.stack_samples import convert_stack, parse_forms, spread
from domainvl.errors import ItemError, LeftOutError, UsageError
from domainvl.schema import ImageStore, Task, TextAnswer
from domainvl.schema.questions import Question
from domainvl.schema.sample import Source

MODALITY = Question("modality", Task.CLASSIFICATION, "Which modality is it?", TextAnswer(text="CT"))
REPORT = Question("report-findings", Task.CAPTION, "Write the findings.", TextAnswer(text="Nothing."))


class Reader:
    """Shows each slice as one grey, 10 times its place; some cannot be shown."""

    def __init__(self, failing=(), left_out=(), views=("",), warnings=()):
        self.failing, self.left_out, self.views, self.warnings = failing, left_out, views, warnings
        self.shown: list[int] = []
        self.projected: list[list[int]] = []

    def show(self, place):
        self.shown.append(place)
        if place in self.failing:
            raise ItemError("Cannot show", reason="broken", rule="it is", action="Mend it")
        if place in self.left_out:
            raise LeftOutError("It has text", reason="text-in-pixels", rule="it has", action="Look")
        return self._shown(10 * place)

    def project(self, places):
        self.projected.append(list(places))
        return self._shown(10 * max(places))

    def _shown(self, grey):
        views = tuple(
            ShownView(name or None, np.full((12, 20), (grey + number) % 256, np.uint8))
            for number, name in enumerate(self.views)
        )
        return Shown(
            views=views,
            map=PixelMap.identity(20, 12),
            source=Source(uri="s"),
            spacing_mm=(1.0, 1.0),
            can_measure=True,
            questions=(MODALITY,),
            warnings=self.warnings,
        )


def stack_of(count=4, *, truths=None, positions=True, **facts):
    truths = truths or {}
    slices = tuple(SliceFacts(place, 5.0 * place if positions else None, truths.get(place)) for place in range(count))
    defaults = {"name": "p/s", "group": "p", "plane": "axial", "along_axis": True, "modality": "CT"}
    return StackFacts(slices=slices, **(defaults | facts))


@pytest.fixture
def run(tmp_path):
    def convert(stack, reader=None, **settings):
        store = ImageStore(tmp_path / "images")
        result = convert_stack(stack, reader or Reader(), MedicalSettings(**settings), store, PROVENANCE)
        return list(result.samples), list(result.rejects)

    return convert


def greys(tmp_path, sample):
    found = []
    for image in sample.images:
        with Image.open(tmp_path / "images" / image.path) as opened:
            found.append(np.asarray(opened)[0, 0])
    return found


BOX = SliceTruth((Finding("t/1", "cyst", (2, 3, 8, 9)),), ("cyst",))
EMPTY = SliceTruth((), ("cyst",))


def test_forms_are_read_in_their_order_and_once():
    assert parse_forms("series, slices,series") == ("series", "slices")
    for text in ("", ",", "slices,cube"):
        with pytest.raises(UsageError, match="--forms"):
            parse_forms(text)


@pytest.mark.parametrize(
    ("count", "limit", "chosen"),
    [(5, None, [0, 1, 2, 3, 4]), (5, 9, [0, 1, 2, 3, 4]), (5, 1, [2]), (6, 2, [1, 4]), (9, 3, [1, 4, 7]), (3, 0, [])],
)
def test_places_are_spread_over_the_middles_of_equal_parts(count, limit, chosen):
    assert spread(range(count), limit) == chosen


def test_every_slice_is_a_sample_under_its_place(run):
    samples, rejects = run(stack_of(3))
    assert [sample.id for sample in samples] == [f"p/s/000{number}/modality" for number in range(3)]
    assert {(sample.group, sample.domain) for sample in samples} == {("p", "medical")}
    assert not rejects


def test_med_51_a_slice_that_cannot_be_shown_leaves_the_others(run):
    samples, rejects = run(stack_of(4), Reader(failing={1}, left_out={2}), forms="slices,series")
    assert [sample.id.split("/")[2] for sample in samples] == ["0000", "0003", "0000-0003"]
    assert [(reject.input, reject.reason, reject.severity.value) for reject in rejects] == [
        ("p/s/0001", "broken", "failed"), ("p/s/0002", "text-in-pixels", "skipped"),
    ]  # fmt: skip


def test_med_28_a_stack_that_runs_against_the_axis_is_turned_round_for_series_alone(run, tmp_path):
    samples, _ = run(stack_of(3, along_axis=False), forms="slices,series", tasks="modality")
    assert [greys(tmp_path, sample) for sample in samples] == [[0], [10], [20], [20, 10, 0]]
    assert "from feet to head, at 0, 5 and 10 mm" in samples[-1].turns[0].text


def test_med_28_no_slice_is_read_that_no_form_shows(run):
    reader = Reader()
    run(stack_of(100), reader, forms="series", images_per_sample=4, tasks="modality")
    assert reader.shown == [12, 37, 62, 87]
    reader = Reader()
    run(stack_of(100), reader, forms="mip", tasks="modality", slab_mm=100)
    assert reader.shown == []
    assert reader.projected == [list(range(start, start + 20)) for start in range(0, 100, 20)]


def test_each_slice_is_read_once_for_all_forms(run):
    reader = Reader()
    run(stack_of(5), reader, forms="slices,series,montage,video", tasks="modality")
    assert reader.shown == [0, 1, 2, 3, 4]


def test_objects_of_a_series_belong_to_their_image(run):
    samples, _ = run(stack_of(3, truths={1: BOX, 2: BOX, 0: EMPTY}), forms="series", tasks="presence")
    (sample,) = [sample for sample in samples if sample.answer.text == "yes"]
    assert [(thing.id, thing.image, thing.box_px) for thing in sample.objects] == [
        ("2/finding-1", 1, (2, 3, 8, 9)), ("3/finding-1", 2, (2, 3, 8, 9)),
    ]  # fmt: skip


def test_objects_of_a_montage_are_moved_with_their_polygons_and_points(run):
    ring = ((2.0, 3.0), (8.0, 3.0), (8.0, 9.0))
    truth = SliceTruth(
        (Finding("t/1", "cyst", polygons_px=(ring,)), Finding("t/2", "clip", point_px=(4.0, 5.0))), ("cyst", "clip")
    )
    samples, _ = run(stack_of(4, truths={3: truth}), forms="montage", tasks="presence")
    ring_thing, point_thing = samples[0].objects
    # The fourth of four images stands in the lower right of a grid of 2 x 2 cells of 20 x 12 px.
    assert ring_thing.box_px == (22, 15, 28, 21)
    assert set(ring_thing.polygons_px[0]) == {(22, 15), (28, 15), (28, 21)}
    assert point_thing.point_px == (24, 17)


def test_several_views_are_several_images_of_a_sample(run, tmp_path):
    samples, _ = run(stack_of(1), Reader(views=("lung window", "bone window")), tasks="modality")
    assert [image.view for image in samples[0].images] == ["lung window", "bone window"]
    assert greys(tmp_path, samples[0]) == [0, 1]
    # A series shows the first of them.
    samples, _ = run(stack_of(2), Reader(views=("lung window", "bone window")), tasks="modality", forms="series")
    assert greys(tmp_path, samples[0]) == [0, 10]


def test_warnings_of_slices_and_of_the_stack_are_in_the_records_once(run):
    samples, _ = run(stack_of(2, warnings=("1 slice is missing",)), Reader(warnings=("a head",)), forms="slices,series")
    assert {sample.warnings for sample in samples} == {("a head", "1 slice is missing")}


def test_med_28_a_selection_that_was_made_otherwise_is_warned_of(run):
    samples, rejects = run(stack_of(4, positions=False), select="every:2", tasks="modality")
    assert [sample.id.split("/")[2] for sample in samples] == ["0000", "0002"]
    assert "counted in slices" in samples[0].warnings[0]
    assert [(reject.reason, reject.severity.value) for reject in rejects] == [("not-selected", "skipped")]


def test_a_report_is_asked_of_single_slices_only_where_they_show_what_it_is_about(run):
    samples, _ = run(stack_of(2, reports=(REPORT,)), forms="slices,series", tasks="report,modality")
    assert [sample.id for sample in samples if sample.task is Task.CAPTION] == ["p/s/0000-0001/series/report-findings"]
    samples, _ = run(stack_of(2, reports=(REPORT,), report_on_slices=True), tasks="report")
    assert len(samples) == 2
    samples, rejects = run(stack_of(2, reports=(REPORT,), report_on_slices=True), tasks="plane")
    assert not samples
    assert [reject.reason for reject in rejects] == ["no-question"] * 2


def test_med_28_a_projection_says_what_is_on_any_of_its_slices(run):
    samples, _ = run(stack_of(4, truths={0: EMPTY, 1: EMPTY, 2: EMPTY, 3: BOX}), forms="mip", tasks="presence")
    said = {sample.id.split("/")[2]: sample.answer.text for sample in samples}
    assert said == {"0000-0001": "no", "0002-0003": "yes"}
    assert not any(sample.objects for sample in samples)


def test_a_mark_names_what_is_marked_and_hides_the_boxes(run):
    truth = SliceTruth((Finding("t/1", "cyst", (2, 3, 8, 9)),), ("cyst", "clip"))
    samples, _ = run(stack_of(1, truths={0: truth}), tasks="marked", marks="box")
    (sample,) = samples
    assert sample.answer.options[sample.answer.correct] == "cyst"
    assert sample.images[0].source.details["mark"] == {"form": "box", "object": "finding-1", "box_px": [2, 3, 8, 9]}
    assert not sample.objects
