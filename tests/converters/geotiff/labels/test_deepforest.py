"""DeepForest's scenes with its own labels in pixels, from the command's settings to the objects of tiles."""

import csv
import shutil

import pytest

DEEPFOREST = "remote_sensing/weecology__DeepForest/src/deepforest/data"
SJER = "2018_SJER_3_252000_4107000_image_477"


@pytest.fixture
def data(real_data):
    return real_data / DEEPFOREST


def seen(samples):
    """Objects by tile and id."""
    return {(name.rsplit("/", 1)[0], thing.id): thing for name, sample in samples.items() for thing in sample.objects}


def table(path):
    """Corners of each row of a table, by the standard library alone."""
    with path.open() as lines:
        return [tuple(float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")) for row in csv.DictReader(lines)]


def cut_to_tiles(corners, side):
    """A box in each of four tiles that it meets, in their pixels, and which share of it that is."""
    cuts = {}
    for row, col in ((0, 0), (0, 1), (1, 0), (1, 1)):
        offsets = (side * col, side * row) * 2
        cut = tuple(min(max(value - offset, 0), side) for value, offset in zip(corners, offsets, strict=True))
        if cut[0] < cut[2] and cut[1] < cut[3]:
            whole = (corners[2] - corners[0]) * (corners[3] - corners[1])
            cuts[f"r{row}c{col}"] = cut, (cut[2] - cut[0]) * (cut[3] - cut[1]) / whole
    return cuts


@pytest.mark.parametrize("suffix", [".csv", ".xml"])
def test_geo_37_boxes_lie_in_their_tiles(data, run, samples_of, rejects_of, suffix):
    summary = run(data / "OSBS_029.tif", labels=data / f"OSBS_029{suffix}", tile_px=200, min_visible=0.01)
    clear = {key: thing for key, thing in seen(samples_of(summary)).items() if not thing.ignore}
    expected = {}
    for number, corners in enumerate(table(data / "OSBS_029.csv"), start=2 if suffix == ".csv" else 1):
        for key, cut in cut_to_tiles(corners, 200).items():
            expected[f"OSBS_029/{key}", str(number)] = cut
    assert rejects_of(summary) == []
    assert {key: thing.box_px for key, thing in clear.items()} == {
        key: cut for key, (cut, share) in expected.items() if share >= 0.01
    }
    assert len({row_id for _, row_id in clear}) == 61
    # Some pixels of the scene are nodata, which takes a little from what is visible.
    assert all(
        0.9 * expected[key][1] < thing.visible_fraction < expected[key][1] + 1e-6 for key, thing in clear.items()
    )


def test_geo_37_counting_from_one_moves_the_left_and_upper_edges(data, run, samples_of):
    settings = {"labels": data / "OSBS_029.xml", "tile_px": 400}
    zero = seen(samples_of(run(data / "OSBS_029.tif", **settings)))
    one = seen(samples_of(run(data / "OSBS_029.tif", **settings, out="one", voc_one_based=True)))
    for key, thing in zero.items():
        x_min, y_min, x_max, y_max = thing.box_px
        assert one[key].box_px == (x_min - 1, y_min - 1, x_max, y_max)


def test_geo_37_a_png_without_georeference_has_its_voc_boxes(data, run, samples_of):
    found = seen(samples_of(run(data / "SOAP_061.png", labels=data / "SOAP_061.xml", tile_px=400)))
    assert len(found) == 37
    assert found["SOAP_061/r0c0", "1"].box_px == (149, 105, 173, 129)
    assert found["SOAP_061/r0c0", "1"].label == "Dead"
    assert found["SOAP_061/r0c0", "1"].attributes["difficult"] is False


def test_geo_37_scenes_that_a_table_does_not_name_are_listed(data, tmp_path, run, samples_of, rejects_of):
    for name in ("OSBS_029.tif", f"{SJER}.tif"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(data / name, tmp_path / "in")
    summary = run(tmp_path / "in", labels=data / f"{SJER}_truth.csv", label_name="Tree", tile_px=400)
    found = seen(samples_of(summary))
    assert {thing.label for thing in found.values()} == {"Tree"}
    assert found[f"{SJER}/r0c0", "2"].box_px == (1, 103, 82, 235)
    assert [(reject["input"], reject["reason"]) for reject in rejects_of(summary)] == [("OSBS_029.tif", "no-labels")]
