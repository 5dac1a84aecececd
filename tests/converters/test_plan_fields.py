"""A setting that is said to act on the plan alone leaves the name of a unit, and so its result, as it was."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from domainvl.conversion import load_converter
from domainvl.conversion.work import ConversionWork, Staging


def keys(name: str, source: Path, folder: Path, **settings) -> set[str]:
    converter = load_converter(name)
    chosen = converter.settings_type(**settings)
    work = ConversionWork(converter, chosen, source, Staging(folder / "staging"))
    return {work.task(unit).key for unit in converter.plan(source, chosen).units}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    from domainvl.converters.geotiff.generate import generate_scenes

    folder = tmp_path_factory.mktemp("geotiff")
    generate_scenes(folder, scene_count=2, seed=0)
    return folder


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    from domainvl.converters.dicom.generate import generate_series

    folder = tmp_path_factory.mktemp("dicom")
    generate_series(folder / "in", patient_count=3, seed=0)
    (folder / "key").write_text(secrets.token_hex(32))
    return folder


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    from domainvl.converters.nuscenes.generate import generate_dataroot

    folder = tmp_path_factory.mktemp("nuscenes")
    generate_dataroot(folder, scene_count=2, frames_per_scene=1, seed=0)
    return folder


def test_geotiff(scenes, tmp_path):
    labels = {"labels": scenes / "labels.geojson"}
    before = keys("geotiff", scenes, tmp_path, **labels)

    assert keys("geotiff", scenes, tmp_path, **labels, label_field="class", split_seed=3) == before
    assert not keys("geotiff", scenes, tmp_path, **labels, label_name="thing") & before
    assert not keys("geotiff", scenes, tmp_path, **labels, tile_px=100) & before


def test_dicom(series, tmp_path):
    key = {"deid_key": series / "key"}
    before = keys("dicom", series / "in", tmp_path, **key)

    assert keys("dicom", series / "in", tmp_path, **key, max_frames=99, test_fraction=0.4) == before
    assert not keys("dicom", series / "in", tmp_path, **key, header_slices_per_stack=1) & before
    assert not keys("dicom", series / "in", tmp_path, **key, windows="lung") & before
    assert not keys("dicom", series / "in", tmp_path, **key, labels=series / "in" / "labels.csv") & before


def test_nuscenes(dataroot, tmp_path):
    before = keys("nuscenes", dataroot, tmp_path)
    (version,) = (path.name for path in dataroot.iterdir() if path.name.startswith("v1.0"))

    assert keys("nuscenes", dataroot, tmp_path, version=version, licence="x", split_by="scene") == before
    # What they decide stands in the units: which scenes stay together, which views there are.
    assert not keys("nuscenes", dataroot, tmp_path, split_by="log") & before
    assert not keys("nuscenes", dataroot, tmp_path, cameras="FRONT") & before
    assert not keys("nuscenes", dataroot, tmp_path, clip_camera="BACK") & before
    assert not keys("nuscenes", dataroot, tmp_path, layout="stitched") & before
    assert not keys("nuscenes", dataroot, tmp_path, min_visible=0.9) & before
