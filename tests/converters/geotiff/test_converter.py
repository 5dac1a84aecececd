"""The converter as a whole: how it is found, what it says of bad input, and that it always gives the same bytes."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from builders import bytes_of
from rasterio.transform import from_origin
from scene_layouts import write_safe

from domainvl.cli.main import main
from domainvl.conversion import RunSettings, convert, load_converter, merge_shards
from domainvl.conversion.shards import convert_shard
from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
from domainvl.engine import Shard
from domainvl.errors import ExitCode, ItemError, NothingToDoError
from domainvl.schema import ImageStore, Provenance


def noise(shape, dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(1, 4000, shape).astype(dtype)


def test_it_is_found_by_its_name():
    assert load_converter("geotiff") is CONVERTER
    assert CONVERTER.settings_type is GeotiffSettings


def test_importing_it_imports_no_heavy_library():
    script = (
        "import sys, domainvl.converters.geotiff;"
        "print(sorted({'rasterio', 'pyogrio', 'shapely', 'torch', 'affine'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.fixture
def command(tmp_path, capsys):
    """Run ``domainvl convert geotiff`` in this process; its exit code and what it said, on one line."""

    def run(source, *options, out="out"):
        arguments = ["convert", "geotiff", source, "--out", tmp_path / out, "--workers", 0, *options]
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, " ".join((captured.out + captured.err).split())

    return run


def rejects_in(folder):
    return [json.loads(line) for line in (folder / "rejects.jsonl").read_text().splitlines()]


def test_one_unreadable_scene_does_not_stop_the_others(tmp_path, write_scene, write_table, command):
    """Each bad scene is named with what is wrong and what to do, and the command says that it is partial."""
    write_scene(tmp_path / "in" / "good.tif", noise((3, 64, 64)))
    (tmp_path / "in" / "text.tif").write_text("no raster")
    content = write_scene(tmp_path / "in" / "short.tif", noise((3, 64, 64))).read_bytes()
    (tmp_path / "in" / "short.tif").write_bytes(content[:300])
    write_scene(tmp_path / "in" / "complex.tif", np.ones((1, 64, 64), np.complex64))
    labels = write_table(good="x", text="y", short="z", complex="x")
    code, said = command(tmp_path / "in", "--labels", labels, "--tile-px", 64)
    assert code == ExitCode.PARTIAL == 8
    assert "1 samples in" in said and "failed: 1 x pixel-type" in said
    found = {reject["input"]: reject for reject in rejects_in(tmp_path / "out")}
    assert set(found) == {"complex.tif", "short.tif", "text.tif"}
    assert {name: found[name]["reason"] for name in ("complex.tif", "text.tif")} == {
        "complex.tif": "pixel-type",
        "text.tif": "scene-open",
    }
    assert found["short.tif"]["reason"] in ("scene-open", "scene-read")
    for name, reject in found.items():
        assert name in reject["message"] and reject["severity"] == "failed" and reject["action"]
    assert str(tmp_path) not in (tmp_path / "out" / "rejects.jsonl").read_text()


def test_a_damaged_block_costs_its_tile_only(tmp_path, write_scene, write_table, command):
    path = write_scene(
        tmp_path / "a.tif", noise((1, 64, 192)), tiled=True, blockxsize=64, blockysize=64, compress="deflate"
    )
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset : offset + 64] = b"\xff" * 64
    path.write_bytes(content)
    code, said = command(path, "--labels", write_table(a="x"), "--tile-px", 64)
    assert code == ExitCode.PARTIAL
    assert "2 samples in" in said
    (reject,) = rejects_in(tmp_path / "out")
    assert (reject["input"], reject["reason"]) == ("a/r0c1", "scene-read")
    assert "a.tif, columns 64 to 128, rows 0 to 64" in reject["message"]
    assert "Fetch the file again" in reject["action"]


def test_a_scene_that_is_gone_when_its_turn_comes_is_named(tmp_path, write_scene, write_table):
    path = write_scene(tmp_path / "in" / "a.tif", noise((1, 64, 64)))
    settings = GeotiffSettings(labels=write_table(a="x"), tile_px=64)
    (site,) = CONVERTER.plan(tmp_path / "in", settings).units
    (band,) = CONVERTER.divide(site, settings.for_units()).units
    path.unlink()
    with pytest.raises(ItemError, match=r"Cannot open a scene in a\.tif: .*Fetch the file again") as error:
        CONVERTER.divide(site, settings.for_units())
    assert error.value.reason == "scene-open"
    store = ImageStore(tmp_path / "store")
    with pytest.raises(ItemError, match=r"Cannot open a scene in a\.tif") as error:
        CONVERTER.convert(
            band,
            settings.for_units(),
            store,
            Provenance(converter="g", version="0", settings_sha256="0" * 64, wording="w"),
        )
    assert str(tmp_path) not in str(error.value)


def test_a_band_file_that_is_gone_when_its_turn_comes_is_named(tmp_path, write_table):
    folder = write_safe(tmp_path / "in", {name: noise((40, 40), seed=1) for name in ("B02", "B03", "B04")})
    settings = GeotiffSettings(labels=write_table(**{folder.stem: "x"}), tile_px=64)
    (site,) = CONVERTER.plan(tmp_path / "in", settings).units
    (band,) = folder.rglob("*B03*.jp2")
    band.unlink()
    with pytest.raises(ItemError, match=r"Cannot open a scene in .*B03_10m\.jp2") as error:
        CONVERTER.divide(site, settings.for_units())
    assert str(tmp_path) not in str(error.value)


def test_geo_01_a_band_that_a_scene_lacks_is_named_and_others_go_on(tmp_path, write_scene, write_table, command):
    write_scene(tmp_path / "in" / "four.tif", noise((4, 64, 64)), descriptions=("red", "green", "blue", "nir"))
    write_scene(tmp_path / "in" / "three.tif", noise((3, 64, 64)), descriptions=("red", "green", "blue"))
    labels = write_table(four="x", three="y")
    code, said = command(tmp_path / "in", "--labels", labels, "--tile-px", 64, "--view", "ndvi")
    assert code == ExitCode.PARTIAL and "failed: 1 x missing-band" in said
    (reject,) = rejects_in(tmp_path / "out")
    assert reject["input"] == "three.tif"
    assert "There is no band 'nir' in three.tif: it has 3 bands" in reject["message"]


def test_a_view_that_does_not_exist_is_named(tmp_path, write_scene, write_table, command):
    path = write_scene(tmp_path / "a.tif", noise((3, 64, 64)))
    code, said = command(path, "--labels", write_table(a="x"), "--view", "rainbow")
    assert code == ExitCode.USAGE
    assert "There is no view 'rainbow'" in said and "ndvi" in said


def test_labels_that_no_scene_meets_are_named_with_both_places(tmp_path, write_scene, write_boxes, command):
    path = write_scene(tmp_path / "a.tif", noise((3, 64, 64)))
    away = from_origin(700_000, 5_000_000, 10, 10)
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 1, 1, 9, 9)], transform=away)
    code, said = command(path, "--labels", labels, "--label-field", "class")
    assert code == ExitCode.NOTHING_DONE
    assert "none of the 1 features of labels/l.geojson meets it" in said
    assert "in longitude and latitude the labels of labels/l.geojson lie in 17.5" in said
    assert "check the CRS of both files" in said
    assert not (tmp_path / "out").exists()


def test_an_input_that_is_not_there_ends_at_once(tmp_path, command, write_table):
    code, said = command(tmp_path / "gone", "--labels", write_table(a="x"))
    assert code == ExitCode.USAGE and "there is no such file or folder" in said


@pytest.fixture
def eight_scenes(tmp_path, write_scene, write_boxes):
    """Scenes side by side and of two dates, one of them damaged, with buildings; what all of them need to be named."""
    source = tmp_path / "in"
    boxes = []
    for number in range(4):
        for date in ("20190501", "20210501"):
            transform = from_origin(400_000 + 960 * number, 5_600_000, 10, 10)
            pixels = noise((4, 128, 128), seed=10 * number + int(date[3]))
            write_scene(
                source / f"s{number}_{date}.tif",
                pixels,
                transform=transform,
                descriptions=("red", "green", "blue", "nir"),
            )
        boxes += [("barn", 96 * number + x, y, 96 * number + x + 9, y + 12) for x, y in ((8, 8), (40, 70), (70, 30))]
    (source / "broken_20200101.tif").write_bytes(b"II*\0 and no more")
    labels = write_boxes(tmp_path / "l.geojson", [*boxes, ("silo", 300, 100, 310, 110)])
    return source, {"labels": labels, "label_field": "class", "tile_px": 32}


MODES = {
    "blocks": {"split_by": "block", "split_block_m": 700.0, "val_fraction": 0.3, "test_fraction": 0.3},
    "dataset": {"stretch_scope": "dataset", "overlap_px": 8, "edge": "shift", "assign": "best"},
    "series": {"series": True, "label_date": "2019", "view": ["true-colour", "ndvi"], "location": "coarse"},
    "warped": {"crs": "EPSG:32632", "gsd_m": 12.0, "align": "geo", "too_little": "mask", "min_valid": 0.2},
}


@pytest.mark.parametrize("mode", MODES)
def test_workers_and_shards_give_the_same_bytes(tmp_path, eight_scenes, mode):
    source, common = eight_scenes
    settings = GeotiffSettings(**common, **MODES[mode])
    out = tmp_path / "none" / "data"
    convert(CONVERTER, source, out, settings, run=RunSettings(workers=0))
    expected = bytes_of(out)
    assert len(expected) > 20
    convert(CONVERTER, source, tmp_path / "again" / "data", settings, run=RunSettings(workers=0))
    assert bytes_of(tmp_path / "again" / "data") == expected
    staging = tmp_path / "sharded" / "data"
    shards = [convert_shard(CONVERTER, source, staging, Shard(number, 3), settings).folder for number in (1, 2, 3)]
    merge_shards(list(reversed(shards)), tmp_path / "merged" / "data")
    assert bytes_of(tmp_path / "merged" / "data") == expected


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_processes_give_the_same_bytes(tmp_path, eight_scenes, workers):
    source, common = eight_scenes
    settings = GeotiffSettings(**common, **MODES["blocks"], stretch_scope="dataset")
    convert(CONVERTER, source, tmp_path / "none" / "data", settings, run=RunSettings(workers=0))
    convert(CONVERTER, source, tmp_path / "many" / "data", settings, run=RunSettings(workers=workers))
    assert bytes_of(tmp_path / "many" / "data") == bytes_of(tmp_path / "none" / "data")


def test_the_folder_of_the_input_does_not_change_what_comes_out(tmp_path, eight_scenes):
    source, common = eight_scenes
    moved = tmp_path / "elsewhere" / "deep"
    moved.parent.mkdir()
    settings = GeotiffSettings(**common)
    convert(CONVERTER, source, tmp_path / "one" / "data", settings, run=RunSettings(workers=0))
    source.rename(moved)
    convert(CONVERTER, moved, tmp_path / "two" / "data", settings, run=RunSettings(workers=0))
    assert bytes_of(tmp_path / "two" / "data") == bytes_of(tmp_path / "one" / "data")


def test_units_are_small_and_can_be_sent_to_other_processes(eight_scenes):
    source, common = eight_scenes
    plan = CONVERTER.plan(source, GeotiffSettings(**common, series=True, stretch_scope="dataset"))
    for site in plan.units:
        assert pickle.loads(pickle.dumps(site)) == site
        assert len(pickle.dumps(site)) < 20_000
        assert all(path.is_file() for path in CONVERTER.unit_files(site))


def test_nothing_is_written_where_nothing_is_converted(tmp_path, write_scene, write_table):
    path = write_scene(tmp_path / "a.tif", np.zeros((1, 64, 64), np.uint16), nodata=0)
    with pytest.raises(NothingToDoError, match="none of its pixels is valid"):
        convert(CONVERTER, path, tmp_path / "out", GeotiffSettings(labels=write_table(a="x")))
    assert not (tmp_path / "out").exists()
