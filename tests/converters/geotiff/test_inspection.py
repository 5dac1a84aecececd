"""A look before converting says what the conversion then does, and draws boxes where the objects are."""

from collections import Counter

import numpy as np
import pytest

from domainvl.conversion.contact_sheet import SheetTile, draw_sheet
from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
from domainvl.converters.geotiff.generate import generate_scenes
from domainvl.converters.geotiff.inspection import COLUMNS
from domainvl.errors import NothingToDoError
from domainvl.schema import Split, read_samples


def look(source, **settings):
    return CONVERTER.inspect(source, GeotiffSettings(**settings))


def column(inspection, name):
    return [row[COLUMNS.index(name)] for row in inspection.rows]


@pytest.fixture
def scenes(tmp_path):
    generate_scenes(tmp_path / "scenes", scene_count=3, seed=0)
    return tmp_path / "scenes"


def test_a_scene_is_described_by_what_its_file_says(tmp_path, write_scene):
    pixels = np.arange(4 * 40 * 60, dtype=np.uint16).reshape(4, 40, 60)
    write_scene(tmp_path / "s2_20200831.tif", pixels, nodata=0, descriptions=("B02", "B03", "B04", "B08"))
    found = look(tmp_path / "s2_20200831.tif", tile_px=32, stretch="fixed:100,500", val_fraction=0.0, test_fraction=0.0)
    assert dict(zip(COLUMNS, found.rows[0], strict=True)) == {
        "scene": "s2_20200831.tif (2020-08-31)",
        "size px": "60 x 40",
        "bands (roles)": "B02 (blue), B03 (green), B04 (red), B08 (nir)",
        "type": "uint16",
        "CRS": "EPSG:32633",
        "GSD m": "10",
        "nodata": "0",
        "limits (0 to 255)": "true-colour: 100 to 500, 100 to 500, 100 to 500 (fixed:100,500)",
        "labels inside": "-",
        "tiles": "4",  # 2 x 2
        "visual tokens": "1024",  # 256 each: 32 px are less than a tile of the model
        "split": "4 train",
    }


def test_tiles_labels_and_splits_are_those_of_the_conversion(scenes, run):
    settings = {"labels": scenes / "labels.geojson", "label_field": "class", "tile_px": 128, "test_fraction": 0.5}
    found = look(scenes, **settings)
    summary = run(scenes, **settings)
    assert [row["tiles"] for row in summary.manifest["units"].values()] == [int(n) for n in column(found, "tiles")]
    splits = Counter(cell.split()[1] for cell in column(found, "split"))
    assert splits == {split: count for split, count in summary.manifest["groups"].items() if count}
    seen: dict[str, Counter] = {}
    for split in Split:
        for sample in read_samples(summary.out, split):
            counts = seen.setdefault(sample.group, Counter())
            counts |= Counter({f"{thing.id} {thing.label}": 1 for thing in sample.objects})
    for row, group in zip(column(found, "labels inside"), sorted(seen), strict=True):
        by_class = Counter(key.split(" ", 1)[1] for key in seen[group])
        assert row == ", ".join(f"{count} {name}" for name, count in sorted(by_class.items()))


def test_labels_may_be_missing_and_nothing_is_written(scenes, tmp_path):
    before = sorted(path.name for path in tmp_path.rglob("*"))
    found = look(scenes)
    assert column(found, "labels inside") == ["-"] * 3
    assert found.contact_sheet is not None
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_scene_that_cannot_be_read_has_a_line_and_a_reject(scenes):
    (scenes / "broken.tif").write_bytes(b"II*\0 and no more")
    found = look(scenes)
    assert [row[:2] for row in found.rows if "broken" in row[0]] == [("broken.tif", "cannot be used: scene-open")]
    assert [(reject.input, reject.reason) for reject in found.rejects] == [("broken.tif", "scene-open")]
    assert len(found.rows) == 4


def test_no_scene_is_nothing_to_do(tmp_path):
    with pytest.raises(NothingToDoError):
        look(tmp_path)


def test_the_tiles_with_most_objects_are_drawn(tmp_path, write_scene, write_boxes):
    write_scene(tmp_path / "a.tif", np.full((3, 64, 256), 90, np.uint8), photometric="RGB")
    boxes = [("barn", 70, 10, 80, 20), ("barn", 90, 10, 100, 20), ("silo", 200, 30, 210, 40)]
    labels = write_boxes(tmp_path / "l.geojson", boxes)
    found = look(tmp_path / "a.tif", labels=labels, label_field="class", tile_px=64)
    # Three of the four tiles are drawn, that with two objects first: its boxes are 6 times as large on the sheet.
    sheet = found.contact_sheet
    assert sheet.shape[1] == 3 * (384 + 8) + 8
    first = sheet[8 : 8 + 384, 8 : 8 + 384]
    coloured = (first != 90).any(axis=2)
    assert coloured[60:121, 36:97].sum() > 4 * 60  # the frame of (6, 10, 16, 20)
    assert not coloured[130:].any()


def test_ignored_objects_are_grey_and_classes_have_colours_of_their_own():
    pixels = np.zeros((384, 384), np.uint8)
    boxes = [((10, 10, 50, 50), "a", False), ((100, 10, 150, 50), "b", False), ((200, 10, 250, 50), "b", True)]
    sheet = draw_sheet([SheetTile("tile", pixels, boxes)])
    frames = [tuple(sheet[8 + 10, 8 + x]) for x in (20, 110, 210)]
    assert len(set(frames)) == 3
    assert len(set(frames[2])) == 1  # grey
    assert all(len(set(colour)) > 1 for colour in frames[:2])


def test_boxes_are_drawn_on_the_date_that_they_describe(tmp_path, write_scene, write_boxes):
    for name, grey in (("a_20190101", 40), ("a_20200101", 200)):
        write_scene(tmp_path / "in" / f"{name}.tif", np.full((1, 64, 64), grey, np.uint8))
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 10, 10, 30, 30)])
    found = look(tmp_path / "in", labels=labels, label_field="class", tile_px=64, series=True)
    assert (found.contact_sheet[8 + 380, 8 + 380] == 200).all()
