"""``enhance register`` as a whole, from files to the folder of pairs."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from typer.testing import CliRunner
from zoomed_views import make_pair, make_scene, write_pairs_folder

from domainvl.cli.main import main
from domainvl.engine import Outcome, UnitFailure, attempt
from domainvl.enhance.pairs.layouts import guess_layout
from domainvl.enhance.pairs.records import PairSet
from domainvl.enhance.pairs.register import Registered, _rejected, register_pairs
from domainvl.enhance.pairs.registering import Figures
from domainvl.enhance.pairs.settings import PairSource, RegisterSettings
from domainvl.enhance.rasters import quiet_gdal
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError, UsageError

SHIFTS_PX = [(1.0, -2.0), (0.0, 0.5), (-3.5, 2.0), (2.0, 2.0)]


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders low/ and high/ of four pairs with known shifts and one that is none."""
    folder = tmp_path_factory.mktemp("views")
    (folder / "low").mkdir()
    (folder / "high").mkdir()
    for number, shift_px in enumerate([*SHIFTS_PX, (0.0, 0.0)]):
        pair = make_pair(number, (48, 48), shift_px=shift_px)
        for part, view in (("low", pair.low), ("high", pair.high)):
            Image.fromarray(np.moveaxis(view.pixels, 0, -1).astype(np.uint8)).save(folder / part / f"{number}.png")
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    Image.fromarray(noise).save(folder / "high" / "4.png")
    (folder / "low" / "5.png").write_text("alone")
    return folder


def _settings(**values: object) -> RegisterSettings:
    return RegisterSettings.model_validate({"scale": 2, "layout": "folders", **values})


def _run(views: Path, out: Path) -> Registered:
    return register_pairs(views / "low", views / "high", out, _settings())


def test_pairs_are_registered_split_and_described(views: Path, tmp_path: Path) -> None:
    result = _run(views, tmp_path / "out")
    assert result.exit_code is ExitCode.PARTIAL
    pairs = PairSet(tmp_path / "out")
    assert [record.id for record in pairs.records] == ["0", "1", "2", "3"]
    for record, shift_px in zip(pairs.records, SHIFTS_PX, strict=True):
        assert record.shift_px == pytest.approx(shift_px, abs=0.05)
        low, high = pairs.read(record)
        assert high.size_px == (2 * low.size_px[0], 2 * low.size_px[1])
    assert pairs.index.counts == {"train": 2, "val": 1, "test": 1}
    assert sum(len(pairs.of_split(split)) for split in ("train", "val", "test")) == 4
    assert pairs.index.rejected == {"no-match": 1, "no-partner": 1}
    assert pairs.index.low_view.high == (255.0,) * 3
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["no-partner", "no-match"]
    assert all(line["action"] for line in lines)
    with Image.open(tmp_path / "out" / "registered.png") as sheet:
        assert sheet.size == (4 * 192, 4 * (192 + 14))


class _LastFirst:
    """Five workers, of which the one that began last is done first; nothing but pickles goes there and back."""

    capacity = 5

    def __init__(self, work: Callable[[PairSource], Figures]) -> None:
        self._work = pickle.dumps(work)
        self._units: list[bytes] = []

    def submit(self, unit: PairSource, *, alone: bool) -> None:
        self._units.append(pickle.dumps(unit))

    def next_outcome(self) -> Outcome[PairSource, Figures]:
        outcome = attempt(pickle.loads(self._work), pickle.loads(self._units.pop()))
        return cast("Outcome[PairSource, Figures]", pickle.loads(pickle.dumps(outcome)))

    def close(self) -> None:
        pass


def test_any_order_of_workers_writes_the_same_bytes(views: Path, tmp_path: Path) -> None:
    files = []
    for name in ("out0", "out2"):
        with pytest.MonkeyPatch.context() as patch:
            if name == "out2":
                patch.setattr("domainvl.enhance.pairs.register.make_executor", lambda work, _: _LastFirst(work))
            settings = _settings(largest_shift_px=3.0)  # rejects two
            result = register_pairs(views / "low", views / "high", tmp_path / name, settings)
        assert len(result.rejects) == 3
        folder = tmp_path / name
        files.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert files[0] == files[1]


def test_an_output_that_is_there_is_replaced_only_when_asked(views: Path, tmp_path: Path) -> None:
    write_pairs_folder(tmp_path / "out", counts=(1, 0, 0))
    with pytest.raises(UsageError, match="--overwrite"):
        _run(views, tmp_path / "out")
    register_pairs(views / "low", views / "high", tmp_path / "out", _settings(), overwrite=True)
    assert len(PairSet(tmp_path / "out").records) == 4
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("")
    with pytest.raises(UsageError, match=r"pairs\.json"):
        register_pairs(views / "low", views / "high", tmp_path / "other", _settings(), overwrite=True)
    with pytest.raises(UsageError, match="must not be the input"):
        register_pairs(views / "low", views / "high", views / "low" / "out", _settings())


def test_no_pair_left_is_a_message_that_tells_why(views: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToDoError, match="too-small|48 x 48 low pixels"):
        register_pairs(views / "low", views / "high", tmp_path / "out", _settings(least_size_px=64))
    with pytest.raises(NothingToDoError, match="; ") as caught:
        register_pairs(views / "low", views / "high", tmp_path / "out", _settings(least_size_px=64))
    assert ".;" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_pairs_of_other_bands_than_most_are_rejected(tmp_path: Path) -> None:
    for number, bands in enumerate((3, 1, 3)):
        pair = make_pair(number, (48, 48), bands=bands)
        for part, view in (("low", pair.low), ("high", pair.high)):
            (tmp_path / part).mkdir(exist_ok=True)
            picture = np.moveaxis(view.pixels, 0, -1).astype(np.uint8)
            Image.fromarray(picture if bands == 3 else picture[..., 0]).save(tmp_path / part / f"{number}.png")
    result = register_pairs(tmp_path / "low", tmp_path / "high", tmp_path / "out", _settings())
    assert [(reject.input, reject.reason) for reject in result.rejects] == [("1", "other-bands")]
    assert sorted(path.name for path in (tmp_path / "out" / "low").iterdir()) == ["0.tif", "2.tif"]


def test_the_command_prints_each_pair_and_ends_partial(
    views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(views / "low"), str(views / "high"), "--scale", "2", "--workers", "0"]
    assert main(["enhance", "register", *arguments, "--out", str(tmp_path / "out")]) == ExitCode.PARTIAL
    printed = capsys.readouterr().out
    assert "+1.00, -2.00" in printed
    assert "4 pairs (2 train, 1 val, 1 test)" in printed
    assert "left out: 1 no-match, 1 no-partner" in printed


def test_a_band_that_is_lost_to_alpha_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = make_pair(5, (48, 48), bands=4)
    for name, view, alpha in (("low.tif", pair.low, "no"), ("high.tif", pair.high, "yes")):
        rows, columns = view.size_px
        form = {"driver": "GTiff", "count": 4, "height": rows, "width": columns, "dtype": "uint8", "alpha": alpha}
        with quiet_gdal(), rasterio.open(tmp_path / name, "w", photometric="rgb", **form) as out:
            out.write(np.maximum(view.pixels, 1).astype(np.uint8))
    arguments = ["enhance", "register", str(tmp_path / "low.tif"), str(tmp_path / "high.tif"), "--scale", "2"]
    arguments += ["--workers", "0", "--val-share", "0", "--test-share", "0"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == ExitCode.DONE
    printed = capsys.readouterr()
    assert "bands: low views: 4 x uint8, high views: 3 x uint8" in printed.out
    assert f"1, such as {tmp_path / 'high.tif'}. If it is data" in printed.out
    assert "Warning: low views have 4 bands and high views 3" in printed.err
    assert "gdal_edit.py -colorinterp_4 undefined" in printed.err


@pytest.mark.parametrize(("window", "severity"), [((0, 0, 128, 128), "failed"), ((128, 0, 128, 40), "skipped")])
def test_what_does_not_match_in_the_rest_at_an_edge_is_no_failure(
    window: tuple[int, int, int, int], severity: str
) -> None:
    source = PairSource("a", "a", Path("low.tif"), Path("high.tif"), window=window)
    failure = UnitFailure("no-match", "The views do not match.", None)
    assert str(_rejected(source, failure, 128).severity) == severity


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scale", "3"], "--scale"),
        (["--scale", "2", "--layout", "tiles"], "--layout must be one of"),
        (["--scale", "2", "--val-share", "0.5", "--test-share", "0.5"], "must leave something"),
    ],
)
def test_options_that_cannot_be_are_messages(
    views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    arguments = ["enhance", "register", str(views / "low"), str(views / "high"), "--out", str(tmp_path / "out")]
    assert main([*arguments, *options]) == ExitCode.USAGE
    assert message in capsys.readouterr().err


def test_the_verbs_are_listed() -> None:
    from domainvl.cli.enhance import app

    printed = CliRunner().invoke(app, ["--help"]).output
    assert all(verb in printed for verb in ("register", "train", "apply", "eval"))


def test_rasters_of_one_place_become_windows_in_spatial_blocks(tmp_path: Path) -> None:
    pair = make_pair(20, (108, 108), shift_px=(0.0, 1.5), bands=2, dtype="uint16")
    for name, view, gsd_m in (("low.tif", pair.low, 10.0), ("high.tif", pair.high, 5.0)):
        rows, columns = view.size_px
        grid = {"crs": "EPSG:32633", "transform": from_origin(500_000.0, 5_000_000.0, gsd_m, gsd_m), "nodata": 0}
        values = view.pixels.astype(np.uint16)
        if name == "low.tif":
            values[:, :36, :36] = 0
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", count=2, height=rows, width=columns, dtype="uint16", **grid
        ) as out:
            out.write(values)
    assert guess_layout(tmp_path / "low.tif", tmp_path / "high.tif") == "geotiffs"
    settings = _settings(layout="geotiffs", window_px=36)
    result = register_pairs(tmp_path / "low.tif", tmp_path / "high.tif", tmp_path / "out", settings)
    assert [(reject.input, reject.reason) for reject in result.rejects] == [("low-r000000c000000", "no-valid-pixels")]
    assert result.exit_code is ExitCode.DONE  # an empty window is no failure
    assert len(result.records) == 8
    assert all(record.shift_px == pytest.approx((0.0, 1.5), abs=0.1) for record in result.records)
    assert result.index.high_view.bands == 2
    sizes = {record.id[4:]: PairSet(tmp_path / "out").read(record)[0].size_px for record in result.records}
    assert set(sizes.values()) == {(36, 36)}  # nothing is cut off where the raster goes on
    assert 0 < result.index.low_view.low[0] < result.index.low_view.high[0] <= 10_000
    for group in {record.group for record in result.records}:
        assert len({record.split for record in result.records if record.group == group}) == 1


def test_frames_of_a_zoom_lens_are_cut_to_one_field_and_registered(tmp_path: Path) -> None:
    scene = 255 * make_scene(21, 256, 256, 3)
    wide = scene.reshape(3, 64, 4, 64, 4).mean(axis=(2, 4))
    low = np.zeros((3, 256, 256))  # the wide frame: as many pixels, the scene in its middle, two pixels aside
    low[:, 94:158, 98:162] = wide
    (tmp_path / "scenes" / "s1").mkdir(parents=True)
    for number, frame in ((1, scene), (5, low)):
        picture = np.moveaxis(np.rint(frame), 0, -1).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "scenes" / "s1" / f"{number:05d}.png")
    result = register_pairs(tmp_path / "scenes", None, tmp_path / "out", _settings(layout="sr-raw", scale=4))
    (record,) = result.records
    assert record.id == "s1-00001-00005"
    assert record.shift_px == pytest.approx((2.0, -2.0), abs=0.05)
    assert PairSet(tmp_path / "out").read(record)[0].size_px == (62, 62)


def test_real_pairs_are_near_already_and_stay_so(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "superres" / "ngchc__CameraSR" / "City100" / "City100_iPhoneX"
    for view in "HL":
        (tmp_path / "City100_iPhoneX").mkdir(exist_ok=True)
        with Image.open(folder / f"001{view}.PNG") as picture:  # the quarter in its middle
            picture.crop((210, 150, 630, 450)).save(tmp_path / "City100_iPhoneX" / f"001{view}.PNG")
    settings = _settings(layout="city100", shrink_low=True, test_share=0.0)
    result = register_pairs(tmp_path, None, tmp_path.parent / f"{tmp_path.name}-out", settings)
    assert [record.id for record in result.records] == ["City100_iPhoneX-001"]
    assert result.records[0].similarity > 0.9
    assert result.records[0].residual_px < 0.15


def test_a_set_that_breaks_the_format_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"no pairs\.json"):
        PairSet(tmp_path)
    write_pairs_folder(tmp_path, counts=(2, 0, 0))
    records = (tmp_path / "pairs.jsonl").read_text()
    (tmp_path / "pairs.jsonl").write_text(records.replace('"split":"train"', '"split":"spare"', 1))
    with pytest.raises(DatasetError, match="line 1: split"):
        PairSet(tmp_path)
    (tmp_path / "pairs.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"pairs\.jsonl"):
        PairSet(tmp_path)
    (tmp_path / "pairs.jsonl").write_text(records.replace("high/scene-001", "low/scene-001", 1))
    pairs = PairSet(tmp_path)
    with pytest.raises(DatasetError, match="scene-001"):
        pairs.read(pairs.records[1])
