"""How the views of a frame are shown together: as images of their own, or stitched as Mini-InternVL's authors do."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from nuscenes_sets import VIEWS, Made, make_set
from PIL import Image
from raycast import Shown

from domainvl.schema import Object, Sample, Task
from domainvl.schema.validation import Severity, validate

World = tuple[Path, list[dict[str, dict[str, Shown]]]]

# Column and row of each view in the stitched image (internvl_chat/tools/images_stitching.py); a cell is 896x448 px.
CELLS = {"FRONT_LEFT": (0, 0), "FRONT": (1, 0), "FRONT_RIGHT": (2, 0), "BACK_LEFT": (0, 1), "BACK": (1, 1)}
CELLS["BACK_RIGHT"] = (2, 1)


@pytest.fixture(scope="module")
def stitched(traffic: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("stitched")
    return make_set(traffic, folder, layout="stitched", phrasing="varied", questions_per_task=2)


@pytest.fixture(scope="module")
def varied(traffic: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("varied")
    settings = {"phrasing": "varied", "phrasing_seed": 5, "questions_per_task": 3, "camera_samples_per_frame": 6}
    return make_set(traffic, folder, motion="can", clip_fps=4.0, clip_s=1.0, **settings)


@pytest.fixture(scope="module")
def stitched_world(raycast_world: World, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("stitched-world")
    return make_set(raycast_world[0], folder, layout="stitched", draw_labels=False)


def shown_together(made: Made) -> list[Sample]:
    """Samples about all views of a key frame; those of one view have its name in the id."""
    ids = re.compile(rf"scene-\d{{4}}/\d{{4}}/(?!({'|'.join(VIEWS)})/)")
    return [sample for sample in made.samples if ids.match(sample.id)]


def frame_of(sample: Sample) -> str:
    return "/".join(sample.id.split("/")[:2])


def objects_by_frame(samples: list[Sample]) -> dict[str, dict[str, Object]]:
    return {frame_of(sample): {thing.id: thing for thing in sample.objects} for sample in samples}


def test_drv_11_all_views_are_one_image_of_2688_by_896(stitched: Made) -> None:
    for sample in shown_together(stitched):
        (image,) = sample.images
        assert (image.width_px, image.height_px) == (2688, 896)
        files = image.source.details["files"]
        assert isinstance(files, dict)
        assert list(files) == VIEWS
        assert image.source.details["layout"] == "stitched"
        with Image.open(stitched.folder / image.path) as stored:
            assert stored.size == (2688, 896)
        assert sample.turns[0].text.startswith("<image>\n")
        assert sample.turns[0].text.count("<image>") == 1


def test_drv_11_boxes_lie_where_their_view_is_on_the_canvas(traffic_set: Made, stitched: Made) -> None:
    apart = objects_by_frame(shown_together(traffic_set))
    together = objects_by_frame(shown_together(stitched))
    assert apart.keys() == together.keys()
    compared = 0
    for frame, things in together.items():
        assert things.keys() == apart[frame].keys()
        for name, thing in things.items():
            column, row = CELLS[name.rsplit("/", 1)[1]]
            x_min, y_min, x_max, y_max = apart[frame][name].box_px or (0, 0, 0, 0)
            # A view of 320x180 px grows by 2.8 and 448 / 180.
            expected = [
                896 * column + 2.8 * x_min,
                448 * row + y_min * 448 / 180,
                896 * column + 2.8 * x_max,
                448 * row + y_max * 448 / 180,
            ]
            assert thing.box_px == pytest.approx(expected, abs=0.01)
            assert thing.image == 0
            assert thing.attributes == apart[frame][name].attributes
            compared += 1
    assert compared > 100


def test_drv_11_a_stitched_pixel_in_a_box_has_the_colour_of_the_thing(
    raycast_world: World, stitched_world: Made
) -> None:
    root, truth = raycast_world
    sample = next(sample for sample in stitched_world.samples if sample.id.startswith("scene-0001/0000/view"))
    canvas = np.asarray(Image.open(stitched_world.folder / sample.images[0].path)).astype(int)
    files = sample.images[0].source.details["files"]
    assert isinstance(files, dict)
    seen = {thing.id: thing for thing in sample.objects}
    for name in ("walker/FRONT", "car-behind/BACK", "around-front-left/FRONT_LEFT"):
        thing, view = name.split("/")
        x_min, y_min, x_max, y_max = truth[0][view][thing].box_px
        pixels = np.asarray(Image.open(root / str(files[view]["uri"]))).astype(int)
        box_px = seen[name].box_px
        assert box_px is not None
        x_px, y_px = round((box_px[0] + box_px[2]) / 2), round((box_px[1] + box_px[3]) / 2)
        there = pixels[(y_min + y_max) // 2, (x_min + x_max) // 2]
        assert np.abs(canvas[y_px, x_px] - there).max() < 12
        assert np.abs(there - 90).max() > 20  # not the background


def test_drv_11_names_are_drawn_only_where_wanted(raycast_world: World, stitched_world: Made, tmp_path: Path) -> None:
    named = make_set(raycast_world[0], tmp_path, layout="stitched", tasks="caption", camera_samples_per_frame=0)
    pictures = {
        made.folder.parent.name: np.asarray(
            Image.open(made.folder / made.by_id["scene-0001/0000/caption"].images[0].path)
        ).astype(int)
        for made in (named, stitched_world)
    }
    plain, drawn = pictures.pop(stitched_world.folder.parent.name), pictures.popitem()[1]
    changed = np.abs(plain - drawn).max(axis=2) > 30
    for column, row in CELLS.values():
        cell = changed[448 * row : 448 * (row + 1), 896 * column : 896 * (column + 1)]
        assert cell.any()
        assert cell.mean() < 0.1


def test_drv_11_a_stitched_image_says_what_it_was_made_of(traffic: Path, stitched: Made) -> None:
    pixels_of = {image.source.uri: image.pixel_sha256 for sample in stitched.samples for image in sample.images}
    checked = 0
    for sample in shown_together(stitched):
        details = sample.images[0].source.details
        files, parents = details["files"], details["made_of_pixel_sha256"]
        assert isinstance(files, dict)
        assert isinstance(parents, list)
        for (view, file), parent in zip(files.items(), parents, strict=True):
            assert isinstance(file, dict)
            assert f"/CAM_{view}/" in str(file["uri"])
            assert file["sha256"] == hashlib.sha256((traffic / str(file["uri"])).read_bytes()).hexdigest()
            assert str(file["uri"]).endswith(f"__{file['timestamp_us']}.jpg")
            if file["uri"] in pixels_of and view != "FRONT_LEFT":  # after which the stitched image itself is called
                assert parent == pixels_of[str(file["uri"])]
                checked += 1
    assert checked > 20


def test_drv_11_grounding_and_regions_are_asked_on_the_canvas(stitched: Made) -> None:
    grounding = [sample for sample in shown_together(stitched) if sample.task is Task.GROUNDING]
    regions = [sample for sample in shown_together(stitched) if sample.task is Task.REGION]
    assert grounding
    assert regions
    for sample in grounding:
        (thing,) = sample.answer_objects()
        assert sample.question == f"{thing.label} in the {thing.id.rsplit('/', 1)[1]} view"
        assert thing.box_px is not None
        # 0-1000 of the canvas, rounded.
        numbers = [int(number) for number in re.findall(r"\d+", sample.turns[1].text.split("<box>")[1])]
        sides = (2688, 896, 2688, 896)
        expected = [value / side * 1000 for value, side in zip(thing.box_px, sides, strict=True)]
        assert numbers == pytest.approx(expected, abs=1.0)


@pytest.mark.parametrize("name", ["stitched", "varied", "stitched_world"])
def test_drv_11_data_sets_of_all_layouts_and_wordings_have_no_faults(name: str, request: pytest.FixtureRequest) -> None:
    made: Made = request.getfixturevalue(name)
    report = validate(made.folder)
    assert report.samples == len(made.samples) > 10
    assert report.count(Severity.ERROR) == 0, report.findings


def test_drv_12_single_views_of_the_stitched_layout_are_copies(traffic: Path, stitched: Made) -> None:
    alone = [image for sample in stitched.samples for image in sample.images if image.view]
    assert alone
    for image in alone:
        assert (stitched.folder / image.path).read_bytes() == (traffic / image.source.uri).read_bytes()


@pytest.mark.parametrize("name", ["traffic_set", "standing_set", "raycast_set", "stitched", "varied"])
def test_drv_24_no_text_says_nan_or_none(name: str, request: pytest.FixtureRequest) -> None:
    made: Made = request.getfixturevalue(name)
    texts = [turn.text for sample in made.samples for turn in sample.turns]
    assert not [text for text in texts if re.search(r"(?i)\bnan\b|\binf(inity)?\b|\bNone\b|\bnull\b|\{|\}", text)]
    lines = "".join((made.folder / f"{split}.jsonl").read_text() for split in ("train", "val", "test"))
    assert "NaN" not in lines
    assert "Infinity" not in lines


def test_varied_phrasing_changes_words_and_no_truth(traffic_set: Made, stitched: Made, varied: Made) -> None:
    published = traffic_set.by_id
    shared = {name: sample for name, sample in varied.by_id.items() if name in published and "clip" not in name}
    behaviour = {name for name in shared if name.endswith("/behaviour")}
    assert {name: shared[name].answer for name in shared if name not in behaviour} == {
        name: published[name].answer for name in shared if name not in behaviour
    }
    reworded = [name for name in shared if shared[name].turns[0].text != published[name].turns[0].text]
    assert len(reworded) > len(shared) / 4
    assert len(stitched.samples) > len(traffic_set.samples)
