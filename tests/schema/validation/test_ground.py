"""No ground in two splits, against overlaps known by hand, every pair compared, and a real scene."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.warp import transform

from domainvl.cli.main import main
from domainvl.schema import Split
from domainvl.schema.validation import ground, validate
from domainvl.schema.validation.findings import Findings
from domainvl.schema.validation.ground import check_ground
from domainvl.schema.validation.index import Index

SPLITS = list(Split)
TRAIN, VAL, TEST = range(3)
ERROR, WARNING = "ground-in-two-splits", "dated-ground-in-two-splits"


def tile(x_m: float, y_m: float = 0.0, crs: str = "EPSG:32633", **more: Any) -> dict[str, Any]:
    """Return the details of a tile of 100 px of 10 m whose upper left corner is there."""
    return {"transform": [10.0, 0.0, x_m, 0.0, -10.0, y_m], "crs": crs, **more}


def check(folder: Path, *images: tuple[int, dict[str, Any]]) -> tuple[list[tuple[str, str]], int]:
    """Check images of 100 x 100 px, given with their splits; each is a line named by its number."""
    index = Index(folder)
    for number, split in enumerate(SPLITS):
        index.start_split(split)
        offset = 0
        with (folder / f"{split.value}.jsonl").open("wb") as file:
            for name, (_, details) in enumerate(images):
                if images[name][0] == number:
                    record = {"id": f"s{name}", "image": f"{name}.png"}
                    index.add_row(offset, record["id"], None)
                    index.add_image(f"{name}.png", 100, 100, {"source": {"uri": "a.tif", "details": details}})
                    offset += file.write(json.dumps(record).encode() + b"\n")
    findings = Findings()
    lost = check_ground(index, findings)
    return [(finding.rule, finding.message) for finding in findings.in_order()], lost


def later_of(found: list[tuple[str, str]]) -> dict[str, str]:
    return {message.split(".png")[0].strip("'"): rule for rule, message in found}


def test_geo_40_ground_in_two_splits_names_both_images_and_how_much(tmp_path):
    # 75 of 100 columns are the same.
    found, lost = check(tmp_path, (TRAIN, tile(0)), (TRAIN, tile(5000)), (TEST, tile(250)))

    assert found == [
        (
            ERROR,
            "'2.png' of sample 's2' shows the same ground (75.0% of the smaller) as '0.png' of sample 's0' "
            "in train.jsonl:1",
        )
    ]
    assert lost == 0


@pytest.mark.parametrize("small_is_later", [False, True])
def test_geo_40_the_share_is_that_of_the_smaller_footprint(tmp_path, small_is_later):
    # 10 x 10 of 100 x 100 pixels, half of them left of the large tile: 50 % of the one and 0.5 % of the other.
    small = tile(-50, window={"col": 0, "row": 0, "width": 10, "height": 10})
    train, test = (tile(0), small) if small_is_later else (small, tile(0))
    ((_, message),) = check(tmp_path, (TRAIN, train), (TEST, test))[0]

    assert "(50.0% of the smaller)" in message


@pytest.mark.parametrize(
    ("x_m", "found"),
    [(1000.0, False), (1000.0 - 1e-7, False), (999.5, False), (995.0, True), (-995.0, True), (-1000.0, False)],
)
def test_geo_40_tiles_that_touch_or_share_a_sliver_are_apart(tmp_path, x_m, found):
    assert bool(check(tmp_path, (TRAIN, tile(0)), (VAL, tile(x_m)))[0]) is found


def test_geo_40_tiles_of_one_split_may_overlap(tmp_path):
    assert check(tmp_path, (TRAIN, tile(0)), (TRAIN, tile(10)), (VAL, tile(2000)), (VAL, tile(2000)))[0] == []


def test_geo_40_validation_and_test_are_compared_too(tmp_path):
    assert later_of(check(tmp_path, (VAL, tile(0)), (TEST, tile(0)))[0]) == {"1": ERROR}


def test_geo_40_a_tile_is_reported_once_with_what_covers_most_of_it(tmp_path):
    found, _ = check(tmp_path, (TRAIN, tile(-900)), (TRAIN, tile(100)), (TRAIN, tile(500)), (TEST, tile(0)))

    assert [message.split(" as ")[1] for _, message in found] == ["'1.png' of sample 's1' in train.jsonl:2"]


def test_geo_40_the_ground_of_a_solved_example_is_that_of_the_training_split(tmp_path):
    example = tile(0, few_shot_example="s0")

    assert check(tmp_path, (TRAIN, tile(0)), (TEST, example), (TEST, tile(5000)))[0] == []
    # An example of the ground that is asked about gives it away, and does so in the split that it is shown in.
    assert later_of(check(tmp_path, (TEST, example), (TEST, tile(0)))[0]) == {"1": ERROR}
    assert later_of(check(tmp_path, (TRAIN, example), (VAL, tile(0)))[0]) == {"1": ERROR}


def test_geo_40_padding_is_no_ground(tmp_path):
    half = {"col": 0, "row": 0, "width": 50, "height": 100}

    assert check(tmp_path, (TRAIN, tile(0, window=half)), (TEST, tile(500)))[0] == []
    assert later_of(check(tmp_path, (TRAIN, tile(0)), (TEST, tile(500)))[0]) == {"1": ERROR}


@pytest.mark.parametrize(("away", "share"), [(1.2, None), (0.5, "50.0%")])
def test_geo_40_rotated_tiles_are_compared_as_they_lie(tmp_path, away, share):
    # Turned by 45 degrees and moved along their own side, their bounding boxes overlap in both cases.
    turned = [10 / 2**0.5, 10 / 2**0.5, 0.0, 10 / 2**0.5, -10 / 2**0.5, 0.0]
    moved = [*turned[:2], away * 1000 / 2**0.5, *turned[3:5], away * 1000 / 2**0.5]
    found, _ = check(
        tmp_path,
        (TRAIN, {"transform": turned, "crs": "EPSG:32633"}),
        (TEST, {"transform": moved, "crs": "EPSG:32633"}),
    )

    assert [f"({share} of the smaller)" in message for _, message in found] == [True] * (share is not None)


@pytest.mark.parametrize(
    ("earlier", "later", "rule"),
    [
        ("2020-05-01", "2020-05-01", ERROR),
        ("2020-05-01", "2021-05-01", WARNING),
        (None, "2021-05-01", ERROR),
        ("2020-05-01", None, ERROR),
    ],
)
def test_geo_40_ground_at_another_date_is_a_warning(tmp_path, earlier, later, rule):
    found, _ = check(tmp_path, (TRAIN, tile(0, date=earlier)), (TEST, tile(100, date=later)))

    assert [name for name, _ in found] == [rule]
    assert (" at another date " in found[0][1]) is (rule == WARNING)


def test_geo_40_the_same_date_counts_more_than_more_ground(tmp_path):
    train = [(TRAIN, tile(0, date="2020")), (TRAIN, tile(100, date="2021"))]
    found, _ = check(tmp_path, *train, (TEST, tile(0, date="2022")), (TEST, tile(0, date="2021")))

    # Both tests have one outline; it is reported for the one of 2021, with the tile that shares its date.
    assert [(name, message.split(" ")[0], message.split(" as ")[1][:7]) for name, message in found] == [
        (ERROR, "'3.png'", "'1.png'")
    ]


def test_geo_40_many_dates_of_one_place_take_no_time(tmp_path):
    images = [(split, tile(0, date=f"{split} {day}")) for split in (TRAIN, TEST) for day in range(2000)]
    found, _ = check(tmp_path, *images)

    assert later_of(found) == {"2000": WARNING}


def in_crs(crs: str, lon: float, lat: float, side: float) -> dict[str, Any]:
    """Return the details of a tile with its middle there."""
    [x], [y] = transform("EPSG:4326", crs, [lon], [lat])
    return {"transform": [side / 100, 0.0, x - side / 2, 0.0, -side / 100, y + side / 2], "crs": crs}


@pytest.mark.parametrize(
    ("lon", "crs"), [(12.1, "EPSG:32632"), (12.1, "EPSG:3857"), (12.1, "EPSG:4326"), (179.999, "EPSG:32601")]
)
def test_geo_40_crss_are_compared_on_the_earth(tmp_path, lon, crs):
    zone = "EPSG:32633" if lon < 100 else "EPSG:32660"
    side = 0.02 if crs == "EPSG:4326" else 2000.0
    here = in_crs(zone, lon, 50.0, 2000.0)

    # 0.028 degrees of longitude are 2 km there; a tile that lies beyond the antimeridian is near, too.
    assert later_of(check(tmp_path, (TRAIN, here), (TEST, in_crs(crs, lon + 0.004, 50.0, side)))[0]) == {"1": ERROR}
    assert check(tmp_path, (TRAIN, here), (TEST, in_crs(crs, lon + 0.08, 50.0, side))) == ([], 0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_geo_40_the_antimeridian_is_no_border(tmp_path, mirrored):
    # 0.028 degrees wide: one lies over the antimeridian, and what they share lies beyond it for the other.
    over = in_crs("EPSG:32660", 179.995, 50.0, 2000.0)
    if mirrored:  # its first corner is in the east
        a, _, x, *rest = over["transform"]
        over["transform"] = [-a, 0.0, x + 100 * a, *rest]
    beyond = in_crs("EPSG:32601", 180.017, 50.0, 2000.0)
    before = in_crs("EPSG:32660", 179.973, 50.0, 2000.0)

    assert later_of(check(tmp_path, (TRAIN, over), (TEST, beyond), (TEST, before))[0]) == {"1": ERROR, "2": ERROR}
    assert later_of(check(tmp_path, (TRAIN, beyond), (TEST, over))[0]) == {"1": ERROR}
    assert check(tmp_path, (TRAIN, beyond), (TEST, before))[0] == []


@pytest.mark.parametrize("crs", ["no CRS", "EPSG:999999"])
def test_geo_40_what_leads_nowhere_is_counted_and_hides_nothing(tmp_path, crs):
    found, lost = check(tmp_path, (TRAIN, tile(0)), (TEST, tile(0)), (TEST, tile(0, crs=crs)), (TEST, tile(9, crs=crs)))

    assert (later_of(found), lost) == ({"1": ERROR}, 2)


def test_geo_40_windows_of_one_file_are_compared_without_a_crs(tmp_path):
    def window(col: int) -> dict[str, Any]:
        return {"window": {"col": col, "row": 0, "width": 100, "height": 100}}

    assert later_of(check(tmp_path, (TRAIN, window(0)), (TEST, window(99)))[0]) == {"1": ERROR}
    assert check(tmp_path, (TRAIN, window(0)), (TEST, window(100)))[0] == []
    assert check(tmp_path, (TRAIN, window(0)), (TEST, tile(0)))[0] == []  # not the same kind of place


@pytest.mark.parametrize("at_once", [7, 4096])
def test_geo_40_the_tree_finds_what_comparing_every_pair_finds(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(ground, "_QUERIES_AT_ONCE", at_once)
    rng = np.random.default_rng(4)
    corners_m = rng.integers(0, 60, (120, 2)) * 250.0
    splits = rng.integers(0, 3, 120)
    expected = set()
    for later in range(120):
        for earlier in range(120):
            apart_m = np.abs(corners_m[later] - corners_m[earlier])
            if splits[earlier] < splits[later] and (apart_m < 1000).all():
                expected.add((*corners_m[later], splits[later]))
    found, _ = check(tmp_path, *((int(split), tile(x, y)) for split, (x, y) in zip(splits, corners_m, strict=True)))

    named = [int(name) for name in later_of(found)]
    assert {(*corners_m[name], splits[name]) for name in named} == expected
    assert 20 < len(expected) < 100


def test_geo_40_images_without_a_place_are_counted_where_others_have_one(planter):
    assert validate(planter.dataset).unchecked == {}
    for name, line in (("train.jsonl", 1), ("test.jsonl", 1)):
        planter.edit(name, line, lambda record: record["domainvl"]["images"][0]["source"].update(details=tile(0)))
    planter.sign()

    report = validate(planter.dataset)

    assert [(finding.rule, finding.file, finding.line) for finding in report.findings] == [(ERROR, "test.jsonl", 1)]
    # 14 lines name 15 images: two of them two, one none.
    assert report.unchecked == {"images without a place on the ground": 13}


@pytest.fixture(scope="module")
def converted(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles of a NAIP scene that overlap, split by blocks of ground."""
    folder = tmp_path_factory.mktemp("naip")
    scenes = folder / "scenes"
    scenes.mkdir()
    name = "m_4709963_se_14_1_20160816.tif"
    shutil.copy(real_data / "remote_sensing/opengeos__data/naip" / name, scenes)
    (folder / "labels.csv").write_text(f"scene,label\n{name},farmland\n")
    options = (
        "--tile-px 64 --overlap-px 16 --split-by block --split-block-m 1000 --test-fraction 0.3 --val-fraction 0.2"
    )
    arguments = ["convert", "geotiff", str(scenes), "--labels", str(folder / "labels.csv")]
    assert main([*arguments, *options.split(), "--licence", "CC0-1.0", "--out", str(folder / "data")]) == 0
    return folder / "data"


def test_geo_40_a_real_scene_split_by_blocks_shares_no_ground(converted):
    report = validate(converted)

    assert ERROR not in report.counts
    assert "near-duplicate" not in report.counts  # farmland beside farmland
    assert "images without a place on the ground" not in report.unchecked
    assert all((converted / f"{split.value}.jsonl").stat().st_size for split in SPLITS)


def test_geo_40_a_tile_moved_to_another_split_is_found(converted, tmp_path):
    moved = Path(shutil.copytree(converted, tmp_path / "data"))
    lines = (moved / "train.jsonl").read_bytes().splitlines(keepends=True)
    (moved / "train.jsonl").write_bytes(b"".join(lines[1:]))
    with (moved / "test.jsonl").open("ab") as file:
        file.write(lines[0])

    assert validate(moved).counts[ERROR] > 0
