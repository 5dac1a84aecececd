"""What ``--inspect`` says of a data root: scenes, frames, cameras, objects, samples and tokens, and six views drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from nuscenes_sets import VIEWS, Made, make_set, rows_of, shots_of
from PIL import Image

from domainvl.cli.main import main
from domainvl.conversion import Inspection
from domainvl.converters.driving.inspection import visual_tokens
from domainvl.converters.nuscenes import CONVERTER, NuscenesSettings
from domainvl.errors import ExitCode
from domainvl.schema import Sample


def look(root: Path, folder: Path, **settings: object) -> Inspection:
    return CONVERTER.inspect(root, NuscenesSettings(**{"index": folder / "index", **settings}))


def cells(inspection: Inspection, column: str) -> list[str]:
    place = list(inspection.columns).index(column)
    return [row[place] for row in inspection.rows]


def test_scenes_frames_and_cameras_are_counted(driving: Path, tmp_path: Path) -> None:
    for place in (1, 4, 9):
        (driving / shots_of(driving, "BACK")[place]["filename"]).unlink()
    found = look(driving, tmp_path)
    assert cells(found, "scene") == ["scene-0001", "scene-0002", "scene-0003", "scene-0004"]
    assert cells(found, "log, location") == ["log-0000\nhere"] * 2 + ["log-0001\nthere"] * 2
    assert cells(found, "key frames") == ["6, 4 complete", "6, 5 complete", "6, 6 complete", "6, 6 complete"]
    counts = [dict.fromkeys(VIEWS, 6) for _ in range(4)]
    counts[0]["BACK"], counts[1]["BACK"] = 4, 5
    expected = ["\n".join(f"{view} {count}/6" for view, count in scene.items()) for scene in counts]
    assert cells(found, "cameras") == expected
    assert "4 scenes, 24 key frames, 21 with all images" in found.notes


def test_objects_are_counted_by_class_and_visibility(traffic: Path, tmp_path: Path) -> None:
    found = look(traffic, tmp_path)
    categories = {row["token"]: row["name"] for row in rows_of(traffic, "category")}
    instances = {row["token"]: categories[row["category_token"]] for row in rows_of(traffic, "instance")}
    scene_of = {row["token"]: row["scene_token"] for row in rows_of(traffic, "sample")}
    names = {
        "vehicle.car": "car",
        "vehicle.truck": "truck",
        "human.pedestrian.adult": "pedestrian",
        "movable_object.trafficcone": "traffic cone",
    }
    for scene, told, visible in zip(
        rows_of(traffic, "scene"), cells(found, "objects by class"), cells(found, "visibility"), strict=True
    ):
        rows = [row for row in rows_of(traffic, "sample_annotation") if scene_of[row["sample_token"]] == scene["token"]]
        classes = Counter(names[instances[token]] for token in {row["instance_token"] for row in rows})
        assert set(told.splitlines()) == {f"{count} {name}" for name, count in classes.items()}
        assert visible == f"{len(rows)} v80-100"


@pytest.mark.parametrize("settings", [{}, {"layout": "stitched"}, {"clip_fps": 4.0, "motion": "can"}])
def test_samples_and_tokens_are_those_of_the_data_set(
    traffic: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    found = look(traffic, tmp_path, **settings)
    made = make_set(traffic, tmp_path, **settings)
    samples = Counter(sample.group for sample in made.samples)
    assert cells(found, "samples") == [str(samples[name]) for name in sorted(samples)]
    tokens = Counter[str]()
    for sample in made.samples:
        tokens[sample.group] += visual_tokens(sample)
    assert cells(found, "tokens") == [str(tokens[name]) for name in sorted(tokens)]
    assert any(note.startswith(f"{len(made.samples)} samples, {sum(tokens.values())} visual") for note in found.notes)


def test_tokens_are_256_a_tile(traffic_set: Made) -> None:
    def tokens(name: str) -> int:
        return visual_tokens(traffic_set.by_id[f"scene-0001/{name}"])

    # Six views of 16:9: of twelve tiles two each, and the whole once more.
    assert tokens("0000/caption") == 6 * 3 * 256
    # A frame of a clip is one tile.
    assert tokens("scene") == 6 * 256


def test_a_stitched_image_is_six_by_two_tiles_and_the_whole(traffic: Path, tmp_path: Path) -> None:
    made = make_set(traffic, tmp_path, layout="stitched", tasks="caption", camera_samples_per_frame=0)
    assert visual_tokens(made.by_id["scene-0001/0000/caption"]) == 13 * 256


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_the_contact_sheet_shows_six_views_with_boxes(traffic: Path, tmp_path: Path, traffic_set: Made) -> None:
    sheet = look(traffic, tmp_path).contact_sheet
    assert sheet is not None
    # Three in a row, each 384 px wide with a margin of 8 px.
    assert sheet.shape[1] == 3 * 392 + 8
    height_px = 384 * 180 // 320
    for place, view in enumerate(VIEWS):
        row, column = divmod(place, 3)
        left_px, top_px = 8 + 392 * column, 8 + (height_px + 18 + 8) * row
        tile = sheet[top_px : top_px + height_px, left_px : left_px + 384]
        with Image.open(traffic / shots_of(traffic, view)[0]["filename"]) as image:
            shown = np.asarray(image.convert("RGB").resize((384, height_px)))
        assert correlation(tile, shown) > 0.9, view
        drawn = np.abs(tile.astype(int) - shown).max(axis=2) > 60
        boxes = [
            thing.box_px
            for thing in traffic_set.by_id["scene-0001/0000/caption"].objects
            if thing.id.endswith(f"/{view}") and not thing.ignore and thing.box_px
        ]
        for box_px in boxes:
            x_min, y_min, _, y_max = (round(value * 1.2) for value in box_px)
            edge = drawn[y_min : min(y_max, height_px - 1) + 1, x_min : x_min + 2]
            assert edge.mean() > 0.5, (view, box_px)
        assert boxes or view in ("FRONT_RIGHT", "BACK_LEFT", "BACK_RIGHT")


def test_the_sheet_shows_the_first_frame_that_is_complete(driving: Path, tmp_path: Path, traffic_set: Made) -> None:
    first = look(driving, tmp_path).contact_sheet
    (driving / shots_of(driving, "BACK")[0]["filename"]).unlink()
    second = look(driving, tmp_path).contact_sheet
    assert first is not None
    assert second is not None
    assert first.shape == second.shape
    assert (first != second).any()
    for shot in shots_of(driving, "FRONT"):
        (driving / shot["filename"]).unlink()
    assert look(driving, tmp_path).contact_sheet is None


def test_a_root_without_things_is_looked_at_too(dataroot: Path, tmp_path: Path) -> None:
    from nuscenes_sets import edit

    edit(dataroot, "sample_annotation", list.clear)
    found = look(dataroot, tmp_path)
    assert cells(found, "objects by class") == ["none"] * 3
    assert cells(found, "visibility") == ["none"] * 3


def test_what_does_not_join_is_told(dataroot: Path, tmp_path: Path) -> None:
    from nuscenes_sets import edit

    edit(dataroot, "sample_data", lambda rows: rows[0].update(ego_pose_token="nowhere"))
    found = look(dataroot, tmp_path)
    assert [reject.reason for reject in found.rejects] == ["dangling-token"]
    assert cells(found, "key frames")[0] == "1, 1 complete"


def test_the_command_prints_it_and_writes_nothing_but_the_sheet(
    driving: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], traffic_set: Made
) -> None:
    before = {path.name for path in driving.iterdir()}
    folder = tmp_path / "here"
    folder.mkdir()
    arguments = ["convert", "nuscenes", str(driving), "--index", str(tmp_path / "index"), "--inspect"]
    code = main([*arguments, "--contact-sheet", str(folder / "sheet.png"), "--clip-video", str(tmp_path / "videos")])
    printed = capsys.readouterr().out
    assert code == ExitCode.DONE
    for said in ("scene-0004", "log-0001", "6, 6 complete", "BACK_LEFT 6/6", "pedestrian", "v80-100"):
        assert said in printed
    assert f"{len(traffic_set.samples)} samples, " in printed
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.width == 1184
    assert {path.name for path in driving.iterdir()} == before
    assert not (tmp_path / "videos").exists()


def kinds(samples: list[Sample]) -> set[str]:
    return {sample.id.rsplit("/", 1)[1].rstrip("0123456789-") for sample in samples}


def test_all_tasks_occur_in_the_generated_traffic(traffic_set: Made, standing_set: Made) -> None:
    asked = kinds([sample for sample in (*traffic_set.samples, *standing_set.samples)])
    assert asked >= {
        *("view", "counting", "distance", "motion", "caption", "behaviour", "scene"),
        *("presence", "region", "description", "clip-behaviour", "clip-motion"),
    }
    assert any("/grounding-" in sample.id for sample in traffic_set.samples)
