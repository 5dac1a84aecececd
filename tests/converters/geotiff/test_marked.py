"""Outputs of ``domainvl enhance apply`` as scenes: what enlarged them is said of each sample."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from domainvl.cli.main import main
from domainvl.conversion import convert
from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
from domainvl.converters.geotiff.marked import parse_mark
from domainvl.enhance.upscaler import identity
from domainvl.errors import UsageError
from domainvl.schema import Enhanced

BICUBIC = {"name": "bicubic-x2", "scale": 2, "mode": "zero offset", "sha256": None}
TAG, HASH, EARLIER = "DOMAINVL_ENHANCED", "DOMAINVL_ENHANCER_SHA256", "DOMAINVL_ENHANCED_EARLIER"


@pytest.fixture
def taken(tmp_path, write_scene):
    """64 x 64 px of noise at 10 m, as the sensor took them."""
    pixels = np.random.default_rng(0).integers(1, 4000, (3, 64, 64)).astype("uint16")
    return write_scene(tmp_path / "taken" / "a.tif", pixels)


@pytest.fixture
def write_marked(tmp_path, write_scene):
    """Write 64 x 64 px with tags that the test gives."""

    def write(name="a.tif", said="sdan-x4-0123abcd mode=own colours scale=4", **more):
        path = write_scene(tmp_path / "in" / name, np.full((3, 64, 64), 900, "uint16"))
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(**{TAG: said}, **more)
        return path

    return write


def test_what_apply_wrote_is_recorded_as_if_the_conversion_had_enlarged_it(
    tmp_path, taken, convert_scenes, write_table
):
    outputs = tmp_path / "outputs"
    assert main(["enhance", "apply", "bicubic-x2", str(taken), "--out", str(outputs)]) == 0
    common = {"labels": write_table(a="x"), "tile_px": 64}
    asked = convert_scenes(taken, out="asked", enhance="bicubic-x2", **common)
    found = convert_scenes(outputs / "a.tif", out="found", **common)
    assert {sample.provenance.enhanced for sample in found.samples.values()} == {Enhanced(**BICUBIC)}
    assert identity("bicubic-x2") == BICUBIC, "so --enhance says"
    assert found.manifest["enhanced"] == asked.manifest["enhanced"]
    assert [row["samples"] for row in found.manifest["enhanced"]] == [len(found.samples)]
    facts = [one.manifest["units"]["a.tif"] for one in (asked, found)]
    assert facts[0]["enhanced"] == facts[1]["enhanced"] == BICUBIC
    assert (facts[1]["gsd_m"], facts[1]["native_gsd_m"]) == (5, 10)
    assert found.details("a/r0c0")["native_gsd_m"] == pytest.approx(asked.details("a/r0c0")["native_gsd_m"])
    sections = [(one.out / "card.md").read_text().partition("## Synthesised")[2][:600] for one in (asked, found)]
    assert sections[0] == sections[1] and "may be invented" in sections[0]


def test_name_times_mode_and_hash_are_those_of_the_tags(write_marked, convert_scenes, write_table):
    made = convert_scenes(write_marked(**{HASH: "f" * 64}), labels=write_table(a="x"), tile_px=64)
    told = {"name": "sdan-x4-0123abcd", "scale": 4, "mode": "own colours", "sha256": "f" * 64}
    assert [sample.provenance.enhanced.model_dump() for sample in made.samples.values()] == [told]
    assert made.details("a/r0c0")["native_gsd_m"] == pytest.approx(4 * made.details("a/r0c0")["gsd_m"])


def test_pixels_that_are_warped_after_they_were_enlarged_name_no_gsd_of_the_sensor(
    write_marked, convert_scenes, write_table
):
    made = convert_scenes(write_marked(), labels=write_table(a="x"), tile_px=32, gsd_m=20.0)
    assert {sample.provenance.enhanced.scale for sample in made.samples.values()} == {4}
    assert "native_gsd_m" not in made.details("a/r0c0") and "native_gsd_m" not in made.manifest["units"]["a.tif"]


@pytest.mark.parametrize(
    ("said", "earlier", "expected"),
    [
        ("bicubic-x8 mode=zero offset scale=8", None, ("bicubic-x8", 8, "zero offset")),
        ("n mode=own colours scale=2 forced=medical", None, ("n", 2, "own colours, forced=medical")),
        (
            "b mode=own colours scale=4",
            "c mode=zero offset scale=2; a mode=zero offset scale=2 sha256=ab",
            ("c + a + b", 16, "zero offset + own colours"),
        ),
    ],
)
def test_tags_are_read_from_the_sensor_on(said, earlier, expected):
    found = parse_mark(said, "ff", earlier)
    assert (found.name, found.scale, found.mode) == expected and found.sha256 == "ff"


@pytest.mark.parametrize("said", ["?", "bicubic-x2", "n mode=zero offset scale=1", "n mode=zero offset scale=2x"])
def test_tags_that_cannot_be_read_leave_the_scene_out_and_say_why(
    tmp_path, write_marked, taken, said, write_table, rejects_of
):
    assert parse_mark(said, None) is None and parse_mark("n mode=m scale=2", None, said) is None
    write_marked("a.tif", said)
    (tmp_path / "in" / "b.tif").write_bytes(taken.read_bytes())
    summary = convert(
        CONVERTER, tmp_path / "in", tmp_path / "out", GeotiffSettings(labels=write_table(a="x", b="y"), tile_px=64)
    )
    (reject,) = rejects_of(summary)
    assert (reject["input"], reject["reason"]) == ("a.tif", "enhanced-tag")
    assert f"got {said!r}" in reject["message"]


def test_a_scene_is_not_enlarged_twice(tmp_path, taken, write_marked, write_table):
    write_marked("b.tif", "something else")
    (tmp_path / "in" / "a.tif").write_bytes(taken.read_bytes())
    settings = GeotiffSettings(labels=write_table(a="x", b="y"), enhance="bicubic-x2")
    for look in (CONVERTER.plan, CONVERTER.inspect):
        with pytest.raises(UsageError, match=r"b\.tif: .*would enlarge it twice.*Leave --enhance out"):
            look(tmp_path / "in", settings)


def test_one_enlarged_date_of_several_is_enough_and_other_places_say_nothing(
    tmp_path, taken, write_marked, write_scene, convert_scenes, write_table
):
    write_marked("a_20200101.tif")
    (tmp_path / "in" / "a_20190101.tif").write_bytes(taken.read_bytes())
    elsewhere = rasterio.Affine(10, 0, 500_000, 0, -10, 5_600_000)
    write_scene(tmp_path / "in" / "b_20200101.tif", np.full((3, 64, 64), 7, "uint16"), transform=elsewhere)
    labels = write_table(a_20200101="x", b_20200101="y")
    made = convert_scenes(tmp_path / "in", labels=labels, tile_px=64, series=True)
    told = {key[0]: sample.provenance.enhanced for key, sample in made.samples.items()}
    assert {key: enhanced and enhanced.name for key, enhanced in told.items()} == {"a": "sdan-x4-0123abcd", "b": None}
    assert len(next(iter(made.samples.values())).images) == 2
    assert made.manifest["enhanced"][0]["samples"] == 1
    assert "native_gsd_m" not in made.details("a_20190101+1/r0c0"), "the grid is that of what the sensor took"


def test_dates_that_several_networks_enlarged_are_refused(tmp_path, write_marked, write_table, rejects_of, run, taken):
    write_marked("a_20190101.tif")
    write_marked("a_20200101.tif", "bicubic-x2 mode=zero offset scale=2")
    elsewhere = tmp_path / "in" / "c_20200101.tif"
    elsewhere.write_bytes(taken.read_bytes())
    with rasterio.open(elsewhere, "r+") as dataset:
        dataset.transform = rasterio.Affine(10, 0, 500_000, 0, -10, 5_600_000)
    labels = write_table(a_20200101="x", c_20200101="y")
    summary = run(tmp_path / "in", labels=labels, tile_px=64, series=True)
    (reject,) = [one for one in rejects_of(summary) if one["reason"] == "enhanced-differently"]
    assert "sdan-x4-0123abcd (own colours)" in reject["message"] and "bicubic-x2 (zero offset)" in reject["message"]


def notes_of(source, **settings):
    return " / ".join(CONVERTER.inspect(source, GeotiffSettings(**settings)).notes)


def test_a_look_says_whose_pixels_it_counts(tmp_path, taken, write_marked):
    assert "enlarge" not in notes_of(taken)
    told = notes_of(taken, enhance="bicubic-x4")
    assert "size and GSD are those of the grid that bicubic-x4 enlarges 4 times" in told
    for name in ("a.tif", "b.tif", "c.tif"):
        write_marked(name)
    told = notes_of(tmp_path / "in")
    assert "a.tif and 2 more: enlarged 4 times by sdan-x4-0123abcd (own colours) before" in told
