"""The ablation of enhanced scenes: its places, its measure, and the whole in a reduced form."""

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio
from builders import bytes_of
from example_modules import importing_from

from domainvl.evaluation.items import ItemScore
from domainvl.schema import Task, read_manifest, read_samples
from domainvl.schema.sample import Split

EXAMPLE = Path(__file__).parents[2] / "examples" / "enhance_ablation"
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module", autouse=True)
def example():
    with importing_from(EXAMPLE):
        yield


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from places import write_places

    folder = tmp_path_factory.mktemp("data") / "places"
    write_places(folder, count=3, seed=5)
    return folder


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read().astype(float)


def shrunk(pixels: np.ndarray, step: int) -> np.ndarray:
    bands, rows, columns = pixels.shape
    return pixels.reshape(bands, rows // step, step, columns // step, step).mean((2, 4))


def test_both_sensors_see_the_same_place_and_labels_lie_on_what_is_seen(places: Path) -> None:
    coarse, fine = (sorted((places / sensor).iterdir()) for sensor in ("coarse", "fine"))
    assert [path.name for path in coarse] == [path.name for path in fine]
    for one, other in zip(coarse, fine, strict=True):
        assert np.corrcoef(read(one).ravel(), shrunk(read(other), 4).ravel())[0, 1] > 0.95
        with rasterio.open(one) as large, rasterio.open(other) as small:
            assert large.bounds == small.bounds and large.crs == small.crs
    with (places / "labels-fine.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (places / "labels-coarse.csv").open() as file:
        scaled = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"kiln", "silo", "cross"}
    for row, low in zip(rows, scaled, strict=True):
        box = [float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")]
        assert [4 * float(low[name]) for name in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx(box)
        left, top, right, _ = box
        red = read(places / "fine" / row["image_path"])[0]
        arm = red[int(top) + 2, int(left + right) // 2]  # each shape has something in the middle of its upper side
        outside = red[max(int(top) - 2, 0), max(int(left) - 2, 0)]
        assert arm > outside + 25, row


def test_zoom_pairs_do_not_line_up_and_show_other_places(tmp_path: Path, places: Path) -> None:
    from places import write_zoom_pairs

    write_zoom_pairs(tmp_path / "zoom", count=3, seed=1)
    write_zoom_pairs(tmp_path / "again", count=2, seed=1)
    again = bytes_of(tmp_path / "again")
    assert again.items() <= bytes_of(tmp_path / "zoom").items()
    apart = [
        np.corrcoef(
            read(tmp_path / "zoom" / "coarse" / path.name).ravel(), shrunk(read(path), 4).ravel()
        )[0, 1]
        for path in sorted((tmp_path / "zoom" / "fine").iterdir())
    ]  # fmt: skip
    assert max(apart) < 0.93 and min(apart) > 0.2
    assert not {path.read_bytes() for path in (places / "coarse").iterdir()} & set(again.values())


def item(number: int, task: Task, *, iou: float | None = None, correct: bool = False) -> ItemScore:
    return ItemScore(str(number), f"place-{number}", "remote-sensing", task, correct, iou, None, False)


def test_measures_are_means_over_the_answers_of_all_models() -> None:
    import run

    def scores(*ious: float, right: bool) -> run.Scores:
        items = [item(number, Task.GROUNDING, iou=iou) for number, iou in enumerate(ious)]
        return run.Scores([], [[*items, item(9, Task.PRESENCE, correct=right)], items])

    good, bad = scores(0.8, 0.4, right=True), scores(0.2, 0.0, right=False)
    assert good.mean(Task.GROUNDING, "iou").mean == pytest.approx(0.6)
    assert good.mean(Task.GROUNDING, "found").mean == pytest.approx(0.5)
    assert good.mean(Task.PRESENCE, "correct").mean == 1.0
    assert good.minus(bad, Task.GROUNDING, "iou").mean == pytest.approx(0.5)


@pytest.mark.slow
def test_the_whole_runs_and_all_conditions_are_asked_the_same(tmp_path: Path) -> None:
    import run

    scores = run.run_experiment(tmp_path, run.QUICK_SIZE)
    assert tuple(scores) == run.CONDITIONS
    asked = [[(sample.id, sample.question, sample.answer) for sample in one.samples] for one in scores.values()]
    assert all(other == asked[0] for other in asked[1:]) and len(asked[0]) > 5
    sides = {
        name: {image.width_px for sample in one.samples for image in sample.images} for name, one in scores.items()
    }
    assert sides == {run.PLAIN: {16}, run.BICUBIC: {64}, run.SDAN: {64}, run.FINE: {64}}
    (enhanced,) = read_manifest(tmp_path / "sdan")["enhanced"]
    assert enhanced["name"].startswith("sdan-x4-")
    assert {sample.provenance.enhanced for sample in read_samples(tmp_path / "plain", Split.TEST)} == {None}
    table = run.table(scores)
    assert table.count("minus") == 4 and table.count("\n") >= 10
