"""Predictions on scenes whose content is known, from pixels to the map."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
from bright_scenes import ORIGIN, UTM, PixelBox, looking_model, write_bright
from fake_model import FakeModel
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_coordinates
from shapely import from_wkb, get_coordinates, get_exterior_ring, is_ccw

from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.prediction.asking import Asked
from domainvl.prediction.geotiff import GeotiffPrediction, GeotiffResult, predict_scene
from domainvl.prediction.scene_answers import Reading
from domainvl.schema import Task

RED, GREEN = Asked(Task.GROUNDING, "red"), Asked(Task.GROUNDING, "green")
BOXES: list[PixelBox] = [
    ("red", 30, 40, 70, 90),  # whole in one tile
    ("red", 190, 60, 240, 100),  # on a border between two
    ("red", 170, 170, 260, 250),  # on a corner of four
    ("green", 185, 65, 245, 95),  # within the second, of another colour
    ("red", 300, 20, 340, 430),  # higher than a tile
    ("red", 560, 460, 600, 500),  # in the corner of the scene, in padded tiles
]


def predict(scene: Path, out: Path, model: FakeModel, *questions: Asked, **wanted) -> GeotiffResult:
    names = {"out_crs", "given", "settings_of", "overwrite"}
    others = {name: wanted.pop(name) for name in names & wanted.keys()}
    return predict_scene(scene, out, model, GeotiffPrediction(Reading(questions or (RED, GREEN), **wanted), **others))


def read_boxes(out: Path, scene: Path) -> list[tuple[str, float, float, float, float]]:
    """Read a result with GDAL and bring it to stored pixels of its scene, by rasterio and PROJ alone."""
    meta, _, geometries, fields = pyogrio.raw.read(out)
    labels = fields[list(meta["fields"]).index("label")]
    found = []
    with rasterio.open(scene) as dataset:
        for label, geometry in zip(labels, from_wkb(geometries), strict=True):
            assert is_ccw(get_exterior_ring(geometry))
            points = get_coordinates(geometry)
            xs, ys = transform_coordinates(meta["crs"], dataset.crs, points[:, 0], points[:, 1])
            pixels = np.array([~dataset.transform @ point for point in zip(xs, ys, strict=True)])
            found.append((label, *pixels.min(axis=0), *pixels.max(axis=0)))
    return sorted(found)


def assert_same(found: Sequence[tuple], expected: Sequence[PixelBox], within_px: float = 0.5) -> None:
    assert [box[0] for box in found] == [box[0] for box in sorted(expected)]
    assert np.array([box[1:] for box in found]) == pytest.approx(
        np.array([box[1:] for box in sorted(expected)]), abs=within_px
    )


PLACES = {
    "utm": (UTM, ORIGIN),
    "turned": (UTM, Affine.translation(400_000, 5_600_000) @ Affine.rotation(27) @ Affine.scale(0.3, -0.3)),
    "rows north": (UTM, from_origin(400_000, 5_600_000, 10, -10)),
    "degrees": ("EPSG:4326", from_origin(13.1, 52.6, 1e-4, 1e-4)),
    "south polar": ("EPSG:3031", from_origin(-1_000_000, 900_000, 25, 25)),
}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("overlap_px", [0, 64])
@pytest.mark.parametrize("place", PLACES)
def test_boxes_come_back_within_half_a_pixel_on_the_map(tmp_path, place, overlap_px, dtype):
    crs, transform = PLACES[place]
    scene = write_bright(tmp_path / "s.tif", BOXES, crs=crs, transform=transform, dtype=dtype)
    model = looking_model(tile_px=224, overlap_px=overlap_px, stretch="auto" if dtype == "uint8" else "fixed:0,10000")
    result = predict(scene, tmp_path / "out.geojson", model)
    assert result.crs == crs
    assert_same(read_boxes(result.out, scene), BOXES)
    assert sum(result.tally.by_label.values()) == len(BOXES) < result.tally.boxes


@pytest.mark.parametrize(("out_crs", "name"), [("EPSG:4326", "out.geojson"), ("EPSG:3857", "out.gpkg")])
def test_another_crs_holds_the_same_places(tmp_path, out_crs, name):
    scene = write_bright(tmp_path / "s.tif", BOXES)
    result = predict(scene, tmp_path / name, looking_model(tile_px=224), out_crs=out_crs)
    assert result.crs == out_crs
    assert_same(read_boxes(result.out, scene), BOXES)


def test_a_resampled_scene_maps_back(tmp_path):
    """Trained at 20 m, asked at 10 m: edges on even pixels lie on pixels of both grids."""
    boxes = [("red", 30, 40, 70, 90), ("red", 430, 60, 470, 100)]
    scene = write_bright(tmp_path / "s.tif", boxes)
    model = looking_model(tile_px=224, overlap_px=32, gsd_m=20.0)
    result = predict(scene, tmp_path / "out.gpkg", model, RED)
    assert json.loads(result.record.read_bytes())["scene"]["gsd_m"] == pytest.approx(20.0)
    assert {sample.images[0].width_px for sample in model.asked} == {224}
    assert_same(read_boxes(result.out, scene), boxes)
    assert result.crs == UTM


def test_a_scene_that_is_warped_to_be_shown_comes_back_in_its_own_crs(tmp_path):
    """UTM on ETRS89 and on WGS 84 have the same coordinates to centimetres, so that the pixels stay in place."""
    scene = write_bright(tmp_path / "s.tif", BOXES)
    result = predict(scene, tmp_path / "out.geojson", looking_model(tile_px=224, crs="EPSG:25833"))
    assert result.crs == UTM
    assert_same(read_boxes(result.out, scene), BOXES)


def test_a_scene_placed_by_control_points_lies_where_they_say(tmp_path):
    points = [
        GroundControlPoint(row, col, 400_000 + 10 * col, 5_600_000 - 10 * row) for row in (0, 500) for col in (0, 600)
    ]
    boxes = [("red", 30, 40, 70, 90), ("red", 190, 60, 240, 100)]
    placed = write_bright(tmp_path / "placed.tif", boxes)
    scene = write_bright(tmp_path / "s.tif", boxes, crs=None, transform=None)
    with rasterio.open(scene, "r+") as dataset:
        dataset.gcps = points, rasterio.CRS.from_epsg(32633)
    result = predict(scene, tmp_path / "out.geojson", looking_model(tile_px=224), RED)
    assert result.crs == UTM
    assert_same(read_boxes(result.out, placed), boxes, within_px=1.0)


def test_without_a_georeference_pixels_are_written_and_said(tmp_path):
    boxes = [("red", 30, 40, 70, 90), ("red", 190, 60, 240, 100)]
    scene = write_bright(tmp_path / "s.tif", boxes, crs=None, transform=None)
    result = predict(scene, tmp_path / "out.geojson", looking_model(tile_px=224), RED)
    content = json.loads(result.out.read_bytes())
    assert "crs" not in content
    assert "pixels" in content["coordinates"]
    assert "no place on Earth" in result.notes[0]
    bounds = [np.array(feature["geometry"]["coordinates"][0]) for feature in content["features"]]
    found = sorted(("red", *ring.min(axis=0), *ring.max(axis=0)) for ring in bounds)
    assert_same(found, boxes)
    with pytest.raises(UsageError, match=r"ends in \.geojson"):
        predict(scene, tmp_path / "out.gpkg", looking_model(tile_px=224), RED)
    with pytest.raises(UsageError, match="--out-crs EPSG:4326 means nothing"):
        predict(scene, tmp_path / "other.geojson", looking_model(tile_px=224), RED, out_crs="EPSG:4326")


def test_tiles_without_pixels_are_skipped_and_counted(tmp_path):
    scene = write_bright(tmp_path / "s.tif", [("red", 30, 40, 70, 90)], size_px=(448, 224), nodata=0)
    with rasterio.open(scene, "r+") as dataset:
        dataset.write(np.zeros((3, 224, 224), "uint8"), window=rasterio.windows.Window(224, 0, 224, 224))
    result = predict(scene, tmp_path / "out.geojson", looking_model(tile_px=224), RED)
    assert (result.tally.tiles, result.tally.asked, result.tally.skipped) == (2, 1, {"min-valid": 1})
    with rasterio.open(scene, "r+") as dataset:
        dataset.write(np.zeros((3, 224, 448), "uint8"))
    with pytest.raises(NothingToDoError, match="none of its 2 tiles can be asked about"):
        predict(scene, tmp_path / "none.geojson", looking_model(tile_px=224, stretch="none"), RED)


def test_a_damaged_block_fails_its_tiles_alone(tmp_path):
    boxes = [("red", 30, 40, 70, 90)]
    layout = {"tiled": True, "blockxsize": 224, "blockysize": 224, "compress": "deflate"}
    scene = write_bright(tmp_path / "s.tif", boxes, size_px=(448, 224), **layout)
    content = bytearray(scene.read_bytes())
    with rasterio.open(scene) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
    content[offset : offset + 16] = b"\xff" * 16
    scene.write_bytes(content)
    result = predict(scene, tmp_path / "out.geojson", looking_model(tile_px=224), RED)
    assert result.tally.failed == {"scene-read": 1}
    assert result.exit_code is ExitCode.PARTIAL
    assert any("damaged" in note for note in result.notes)
    assert_same(read_boxes(result.out, scene), boxes)


def test_attributes_and_record_say_what_was_asked_of_whom(tmp_path):
    scene = write_bright(tmp_path / "s.tif", [("red", 190, 60, 240, 100)])
    result = predict(scene, tmp_path / "out.geojson", looking_model(tile_px=224, min_filled=0.0), RED)
    (feature,) = json.loads(result.out.read_bytes())["features"]
    assert feature["properties"] == {
        "label": "red", "answer": None, "likelihood": 0.9, "tile": "r0c0", "task": "grounding", "question": "red",
        "cut": False, "pieces": 2, "model": "fake",
    }  # fmt: skip
    record = json.loads(result.record.read_bytes())
    assert result.record.name == "out.geojson.run.json"
    assert record["model"]["weights_sha256"] == "0" * 64
    assert record["settings"]["tile_px"] == 224
    assert record["scene"]["uri"] == "s.tif"
    assert (record["counts"]["tiles"], record["counts"]["boxes"], record["counts"]["joined"]) == (9, 2, 2)
    assert str(tmp_path) not in result.record.read_text()


@pytest.mark.parametrize("name", ["out.geojson", "out.gpkg"])
def test_nothing_found_is_an_empty_file(tmp_path, name):
    scene = write_bright(tmp_path / "s.tif", [])
    result = predict(scene, tmp_path / name, looking_model(tile_px=224), RED)
    assert result.features == 0
    assert result.tally.dropped_answers == {"nothing found": 9}
    assert len(pyogrio.raw.read(result.out)[2]) == 0


def reply(**answers: str | tuple[str, float]) -> FakeModel:
    """A model that gives each tile the answer of its name."""
    source = {"command": "convert geotiff", "conversion_settings": {"tile_px": 100, "min_filled": 0.0}}
    return FakeModel(lambda sample, _: answers[sample.id.partition("/")[0]], {"sources": {"data": source}})


def test_answers_about_tiles_lie_on_their_footprints_and_counts_add_up(tmp_path):
    scene = write_bright(tmp_path / "s.tif", [], size_px=(200, 150))
    model = reply(r0c0="2", r0c1="three", r1c0="about 2.5", r1c1="0")
    asked = Asked(Task.COUNTING, "How many instances of tree are in the image?")
    result = predict(scene, tmp_path / "out.geojson", model, asked, sum_counts=True)
    assert result.tally.sums == {asked.text: 5}
    assert result.tally.dropped_answers == {"without a readable count": 1}
    features = json.loads(result.out.read_bytes())["features"]
    assert [(one["properties"]["tile"], one["properties"]["answer"]) for one in features] == [
        ("r0c0", "2"), ("r0c1", "three"), ("r1c1", "0"),
    ]  # fmt: skip
    ring = np.array(features[2]["geometry"]["coordinates"][0])  # the lower right tile shows 100 x 50 px
    assert ring.min(axis=0).tolist() == [401_000, 5_598_500]
    assert ring.max(axis=0).tolist() == [402_000, 5_599_000]
    with pytest.raises(UsageError, match="tiles must not overlap"):
        predict(scene, tmp_path / "b.geojson", model, asked, sum_counts=True, given={"overlap_px": 10})
    with pytest.raises(UsageError, match="tiles must not overlap"):
        predict(scene, tmp_path / "b.geojson", model, asked, sum_counts=True, given={"edge": "shift"})


def test_an_option_is_named_by_its_text(tmp_path):
    scene = write_bright(tmp_path / "s.tif", [], size_px=(200, 100))
    asked = Asked(Task.MULTIPLE_CHOICE, "What is it?", ("forest", "lake"))
    result = predict(scene, tmp_path / "out.geojson", reply(r0c0="B", r0c1="C"), asked)
    (feature,) = json.loads(result.out.read_bytes())["features"]
    assert feature["properties"]["answer"] == "lake"
    assert result.tally.dropped_answers == {"none of the options": 1}


def test_boxes_that_cannot_be_used_are_counted(tmp_path):
    scene = write_bright(tmp_path / "s.tif", [], size_px=(200, 50))
    model = reply(
        r0c0="red <box>[[0, 600, 100, 700], [500, 100, 400, 200]]</box>",  # in padding; corners swapped
        r0c1="The box is at (1, 2).",
    )
    result = predict(scene, tmp_path / "out.geojson", model, RED)
    assert result.features == 0
    assert result.tally.dropped_boxes == {"in padding": 1, "without area": 1}
    assert result.tally.dropped_answers == {"without a readable box": 1}


def test_unlikely_answers_and_what_is_said_to_be_absent_are_left_out(tmp_path):
    scene = write_bright(tmp_path / "s.tif", [], size_px=(300, 100))
    box = "<ref>red</ref><box>[[100, 100, 200, 200]]</box>"

    def say(sample, _):
        tile = sample.id.partition("/")[0]
        if sample.task is Task.PRESENCE:
            assert sample.question == "Is there any red in the image?"
            return "No." if tile == "r0c0" else "yes"
        return box, 0.3 if tile == "r0c1" else 0.8

    model = FakeModel(say, reply().training)
    result = predict(scene, tmp_path / "out.geojson", model, RED, check_presence=True, min_likelihood=0.5)
    assert result.tally.dropped_answers == {"said to be absent": 1, "below --min-likelihood": 1}
    assert result.features == 1


def test_each_label_of_a_detection_answer_is_a_box_of_its_own(tmp_path):
    scene = write_bright(tmp_path / "s.tif", [], size_px=(100, 100))
    text = (
        "<ref>car</ref><box>[[0, 0, 100, 100], [200, 0, 300, 100]]</box>\n<ref>ship</ref><box>[[0, 0, 100, 100]]</box>"
    )
    asked = Asked(Task.DETECTION, "Detect all objects of the following classes: car, ship.")
    result = predict(scene, tmp_path / "out.geojson", reply(r0c0=text), asked)
    assert result.tally.by_label == {"car": 2, "ship": 1}


def test_the_pixels_are_those_of_the_converter(tmp_path):
    """A tile is shown as domainvl convert stores it: bands, stretch, ground sampling and padding."""
    from domainvl.conversion import convert
    from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
    from domainvl.schema import Split, read_manifest, read_samples

    folder = tmp_path / "scenes"
    folder.mkdir()
    write_bright(folder / "s.tif", BOXES, dtype="uint16")
    (tmp_path / "labels.csv").write_text("scene,label\ns,town\n")
    settings = GeotiffSettings(
        labels=tmp_path / "labels.csv", tile_px=150, overlap_px=20, bands="3,1,2", gsd_m=15.0, prompt_gsd=True
    )
    summary = convert(CONVERTER, folder, tmp_path / "data", settings)
    stored = {
        sample.id.split("/")[-2]: (sample.images[0].pixel_sha256, sample.preface)
        for split in Split
        for sample in read_samples(summary.out, split)
    }
    manifest = read_manifest(summary.out)
    source = {"command": manifest["command"], "conversion_settings": manifest["settings"]}
    model = FakeModel(lambda *_: "town", {"sources": {"data": source}})
    predict(folder / "s.tif", tmp_path / "out.geojson", model, Asked(Task.VQA, "What is it?"))
    shown = {sample.id.partition("/")[0]: (sample.images[0].pixel_sha256, sample.preface) for sample in model.asked}
    assert len(shown) > 4
    assert shown == stored


def test_limits_that_all_scenes_shared_come_from_the_data_set(tmp_path):
    from domainvl.conversion import convert
    from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
    from domainvl.schema import Split, read_samples

    folder = tmp_path / "scenes"
    folder.mkdir()
    write_bright(folder / "a.tif", BOXES, dtype="uint16")
    write_bright(folder / "b.tif", [], dtype="uint16", transform=from_origin(500_000, 5_600_000, 10, 10))
    with rasterio.open(folder / "b.tif", "r+") as dataset:
        dataset.write(np.broadcast_to(np.linspace(1000, 3000, 600).astype("uint16"), (3, 500, 600)))
    (tmp_path / "labels.csv").write_text("scene,label\na,town\nb,field\n")
    settings = GeotiffSettings(labels=tmp_path / "labels.csv", tile_px=150, stretch_scope="dataset")
    summary = convert(CONVERTER, folder, tmp_path / "data", settings)
    stored = {
        sample.id.split("/")[-2]: sample.images[0].pixel_sha256
        for split in Split
        for sample in read_samples(summary.out, split)
        if sample.id.startswith("b/")
    }
    model = FakeModel(lambda *_: "field", {"sources": {}})
    asked = Asked(Task.VQA, "What is it?")
    predict(folder / "b.tif", tmp_path / "out.geojson", model, asked, settings_of=summary.out)
    assert {sample.id.partition("/")[0]: sample.images[0].pixel_sha256 for sample in model.asked} == stored
    with pytest.raises(UsageError, match="stretched with the same limits"):
        predict(folder / "b.tif", tmp_path / "c.geojson", looking_model(stretch_scope="dataset"), asked)


def test_what_is_refused(tmp_path):
    scene = write_bright(tmp_path / "s.tif", [], size_px=(100, 100))
    model = looking_model(tile_px=224)
    with pytest.raises(UsageError, match="its name must end in"):
        predict(scene, tmp_path / "out.shp", model)
    with pytest.raises(UsageError, match="--tile-px must be 224, as the model was trained, got 512"):
        predict(scene, tmp_path / "out.geojson", model, given={"tile_px": 512})
    with pytest.raises(UsageError, match="does not say how its images were made"):
        predict(scene, tmp_path / "out.geojson", FakeModel(lambda *_: ""))
    with pytest.raises(UsageError, match="series of dates"):
        predict(scene, tmp_path / "out.geojson", looking_model(series=True))
    with pytest.raises(UsageError, match="--out-crs"):
        predict(scene, tmp_path / "out.geojson", model, out_crs="EPSG:nonsense")
    write_bright(tmp_path / "t.tif", [], size_px=(100, 100))
    with pytest.raises(UsageError, match=r"it must be one scene, got 2: s\.tif, t\.tif"):
        predict(tmp_path, tmp_path / "out.geojson", model)
    (tmp_path / "no.tif").write_bytes(b"II*\0nothing")
    with pytest.raises(UsageError, match=r"no\.tif"):
        predict(tmp_path / "no.tif", tmp_path / "out.geojson", model)
    assert not (tmp_path / "out.geojson").exists()


def test_a_file_that_is_there_stays_unless_it_is_told(tmp_path):
    scene = write_bright(tmp_path / "s.tif", [("red", 30, 40, 70, 90)])
    out = tmp_path / "out.geojson"
    out.write_text("mine")
    with pytest.raises(UsageError, match="it exists"):
        predict(scene, out, looking_model(tile_px=224), RED)
    assert out.read_text() == "mine"
    predict(scene, out, looking_model(tile_px=224), RED, overwrite=True)
    assert json.loads(out.read_bytes())["features"]


def test_a_real_scene(real_data, tmp_path):
    """Boxes that are drawn on the map of a NAIP scene come back where they were."""
    scene = real_data / "remote_sensing/opengeos__data/naip/m_4709963_se_14_1_20200831.tif"
    if not scene.is_file():
        pytest.skip("the scene is not there")
    with rasterio.open(scene) as dataset:
        width, height = dataset.width, dataset.height
    true = [("red", x + 40, y + 30, x + 101, y + 77) for x in range(0, width - 448, 400) for y in (0, height - 448)]

    def say(sample, _):
        row, col = map(int, sample.id.partition("/")[0][1:].split("c"))
        left, top = col * (448 - 64), row * (448 - 64)
        boxes = []
        for _, x_min, y_min, x_max, y_max in true:
            inside = [max(x_min - left, 0), max(y_min - top, 0), min(x_max - left, 448), min(y_max - top, 448)]
            if inside[0] < inside[2] and inside[1] < inside[3]:
                boxes.append([round(value / 448 * 1000) for value in inside])
        return f"<ref>red</ref><box>{boxes}</box>" if boxes else "None"

    source = {"command": "convert geotiff", "conversion_settings": {"tile_px": 448, "overlap_px": 64}}
    result = predict(scene, tmp_path / "out.geojson", FakeModel(say, {"sources": {"data": source}}), RED)
    assert_same(read_boxes(result.out, scene), true)
