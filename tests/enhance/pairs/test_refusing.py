"""Files that are no views to learn from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from rasterio.transform import from_origin

from domainvl.cli.main import main
from domainvl.enhance.applying.modes import open_enhancement
from domainvl.enhance.pairs.fitting import read_views
from domainvl.enhance.pairs.geotiffs import plan_windows
from domainvl.enhance.pairs.refusing import refuse_medical_pairs
from domainvl.enhance.pairs.settings import PairSource, RegisterSettings
from domainvl.errors import ExitCode, ItemError, UsageError
from domainvl.schema.writer import Reject


def _settings(layout: str = "folders") -> RegisterSettings:
    return RegisterSettings.model_validate({"scale": 2, "layout": layout})


def _tags() -> dict[str, str]:
    """What ``enhance apply`` writes into its outputs."""
    return open_enhancement("bicubic-x2").tags()


def _picture(path: Path, size_px: tuple[int, int], tags: dict[str, str] | None = None) -> Path:
    chunks = PngInfo()
    for name, text in (tags or {}).items():
        chunks.add_text(name, text)
    Image.fromarray(np.zeros(size_px, np.uint8)).save(path, pnginfo=chunks)
    return path


def _scene(path: Path, side_px: int, gsd_m: float, tags: dict[str, str] | None = None) -> Path:
    grid = {"crs": "EPSG:32633", "transform": from_origin(500_000.0, 5_000_000.0, gsd_m, gsd_m)}
    with rasterio.open(path, "w", driver="GTiff", count=1, height=side_px, width=side_px, dtype="uint8", **grid) as out:
        out.write(np.ones((1, side_px, side_px), np.uint8))
        out.update_tags(**(tags or {}))
    return path


def test_an_enlarged_picture_is_no_high_view_but_may_be_a_low_one(tmp_path: Path) -> None:
    low = _picture(tmp_path / "low.png", (40, 40), _tags())
    plain, enlarged = _picture(tmp_path / "a.png", (80, 80)), _picture(tmp_path / "b.png", (80, 80), _tags())
    assert read_views(PairSource("a", "a", low, plain), _settings())[1].size_px == (80, 80)
    with pytest.raises(ItemError, match="says bicubic-x2") as caught:
        read_views(PairSource("b", "b", low, enlarged), _settings())
    assert caught.value.reason == "synthesised"


def test_an_enlarged_raster_is_no_high_view_but_may_be_a_low_one(tmp_path: Path) -> None:
    low = _scene(tmp_path / "low.tif", 40, 10.0, _tags())
    plain, enlarged = _scene(tmp_path / "a.tif", 80, 5.0), _scene(tmp_path / "b.tif", 80, 5.0, _tags())
    pairs = [PairSource("a", "a", low, plain), PairSource("b", "b", low, enlarged)]
    sources, (reject,) = plan_windows(pairs, _settings("geotiffs"))
    assert {source.high for source in sources} == {plain}
    assert (reject.input, reject.reason) == ("b", "synthesised")


@pytest.mark.parametrize("where", ["low", "high", "beside"])
def test_a_medical_file_among_the_views_or_beside_them_is_refused(tmp_path: Path, where: str) -> None:
    files = {name: tmp_path / f"{name}.png" for name in ("low", "high", "beside")}
    for name, path in files.items():
        path.write_bytes(bytes(128) + (b"DICM" if name == where else b"    "))
    rejects = [Reject(str(files["beside"]), "plan", "no-picture", "")]
    with pytest.raises(UsageError, match=rf"{where}\.png: it is a DICOM file;"):
        refuse_medical_pairs([PairSource("a", "a", files["low"], files["high"])], rejects)


def test_a_medical_data_set_is_let_through_only_when_forced_and_the_pairs_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, side_px in (("low", 40), ("high", 80)):
        (tmp_path / "scans" / part).mkdir(parents=True)
        _picture(tmp_path / "scans" / part / "a.png", (side_px, side_px))
    (tmp_path / "scans" / "manifest.json").write_text(json.dumps({"counts": [{"domain": "medical", "count": 1}]}))
    arguments = [*(str(tmp_path / "scans" / part) for part in ("low", "high")), "--scale", "2", "--workers", "0"]
    arguments = ["enhance", "register", *arguments, "--register", "none", "--out", str(tmp_path / "out")]
    assert main(arguments) == ExitCode.USAGE
    assert "medical data set scans" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*arguments, "--force-medical", "--test-share", "0", "--val-share", "0"]) == ExitCode.DONE
    assert json.loads((tmp_path / "out" / "pairs.json").read_text())["settings"]["force_medical"] is True
