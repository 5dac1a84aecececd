"""The data and the measures of the experiments, and the experiment on general data in its reduced form."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from domainvl.evaluation.items import ItemScore
from domainvl.schema import Split, Task, read_samples

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module", autouse=True)
def examples():
    before = list(sys.path)
    sys.path.append(str(EXAMPLES))
    yield
    sys.path[:] = before


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import dyes

    folder = tmp_path_factory.mktemp("data") / "plates"
    dyes.write_plates(folder, training=30, testing=20, seed=3)
    return folder


def pixels_of(dataset: Path, sample) -> np.ndarray:
    from PIL import Image

    with Image.open(dataset / sample.images[0].path) as image:
        return np.asarray(image, float)


def test_whole_plates_are_held_out(plates: Path) -> None:
    groups = {split: [sample.group for sample in read_samples(plates, split)] for split in Split}
    assert {split: len(set(held)) for split, held in groups.items()} == {Split.TRAIN: 30, Split.TEST: 20, Split.VAL: 2}
    assert len(groups[Split.TEST]) == 20 * 2 * 3
    assert not set(groups[Split.TRAIN]) & set(groups[Split.TEST])


def test_dye_and_sector_are_where_the_picture_shows_them(plates: Path) -> None:
    """Read back from the pixels: cloth is what is more saturated, or darker, than the pale ground."""
    import dyes

    checked = 0
    by_picture: dict[str, dict[str, str]] = {}
    pictures = {}
    for sample in read_samples(plates, Split.TRAIN):
        name, _, asked = sample.id.rpartition("/")
        by_picture.setdefault(name, {})[asked] = sample.answer.text
        pictures[name] = pixels_of(plates, sample)
    for name, answers in by_picture.items():
        pixels = pictures[name]
        cloth = np.ptp(pixels, axis=-1) > 60
        y, x = np.nonzero(cloth)
        centre = (y.min() + y.max() + 1) / 2, (x.min() + x.max() + 1) / 2
        borders = [abs(value - border) for value in centre for border in (64 / 3, 128 / 3)]
        if min(borders) < 3:
            continue  # the middle is too near a border of sectors to be read from noisy pixels
        sector = f"{'ABC'[int(centre[0] * 3 / 64)]}{int(centre[1] * 3 / 64) + 1}"
        assert sector == answers["sector"], name
        colour = np.array([np.percentile(pixels[cloth][:, channel], 90) for channel in range(3)])
        nearest = min(dyes.DYES, key=lambda dye: np.abs(colour - dyes.DYES[dye]).sum())
        assert nearest == answers["dye"], name
        checked += 1
    assert checked >= 25


def test_weave_is_what_the_picture_shows(plates: Path) -> None:
    """Rows differ from each other in bars, columns in stripes, both in neither; the rest is told by its contrast."""
    seen = set()
    for sample in read_samples(plates, Split.TRAIN):
        if not sample.id.endswith("/weave"):
            continue
        pixels = pixels_of(plates, sample)
        y, x = np.nonzero(np.ptp(pixels, axis=-1) > 60)
        patch = pixels[y.min() : y.max() + 1, x.min() : x.max() + 1].mean(axis=-1)
        rows, columns = np.ptp(patch.mean(axis=1)) > 35, np.ptp(patch.mean(axis=0)) > 35
        flat = "W4" if patch.std() > 20 else "W1"
        expected = {(True, False): "W2", (False, True): "W3", (False, False): flat}[bool(rows), bool(columns)]
        assert sample.answer.text == expected, sample.id
        seen.add(expected)
    assert seen == {"W1", "W2", "W3", "W4"}


def test_a_blank_copy_keeps_all_but_the_pixels(plates: Path, tmp_path: Path) -> None:
    import dyes

    dyes.write_blank(plates, tmp_path / "blank", (124, 116, 104))
    for split in Split:
        originals, copies = (list(read_samples(folder, split)) for folder in (plates, tmp_path / "blank"))
        for original, copy in zip(originals, copies, strict=True):
            assert copy.model_copy(update={"images": original.images}) == original
            assert (pixels_of(tmp_path / "blank", copy) == (124, 116, 104)).all()


def test_differences_pair_the_same_questions() -> None:
    """Two groups of two questions: by hand, a is right in 3 of 4 and b in 1 of 4."""
    import what_to_train

    def scores(*right: bool) -> list[ItemScore]:
        return [
            ItemScore(str(number), f"g{number // 2}", "general", Task.VQA, one, None, None, False)
            for number, one in enumerate(right)
        ]

    class Asked:
        def __init__(self, number: int) -> None:
            self.group, self.question = f"g{number // 2}", ("first", "second")[number % 2]

    looks, blank, majority = scores(True, True, True, False), scores(False, False, True, False), scores(*[False] * 4)
    comparison = what_to_train.Comparison(
        [Asked(number) for number in range(4)], {"majority": majority}, {"LoRA": looks}, {"LoRA": blank}, {"LoRA": 1}
    )
    assert comparison.difference("LoRA", "majority").mean == 0.75
    assert comparison.difference("LoRA", "blank images").mean == 0.5
    assert comparison.difference("LoRA", "blank images", "second").mean == 0.5
    assert comparison.difference("LoRA", "majority", "first").mean == 1.0
    assert comparison.right("LoRA", "second").mean == 0.5


@pytest.mark.slow
def test_general_data_keeps_a_model_from_forgetting(tmp_path: Path) -> None:
    import general_ratio

    experiment = general_ratio.run_experiment(tmp_path, general_ratio.QUICK_SIZE)
    (without,), (with_all,) = experiment.of_ratio(0.0), experiment.of_ratio(1.0)
    assert without.steps * 2 == with_all.steps
    assert experiment.general_minus_base([without]).high < 0
    assert general_ratio.difference([with_all.general], [without.general]).low > 0

    general_ratio.write_csv(experiment, tmp_path / "ratio.csv")
    rows = list(csv.DictReader((tmp_path / "ratio.csv").read_text().splitlines()))
    assert [row["ratio"] for row in rows] == ["base", "0.0", "1.0"]
    share = sum(item.correct for item in without.general) / len(without.general)
    assert float(rows[1]["general_mean"]) == pytest.approx(share, abs=1e-4)
    assert f"| {share:.2f} [" in general_ratio.table(experiment).splitlines()[3]
    general_ratio.draw(experiment, tmp_path / "ratio.png")
    assert (tmp_path / "ratio.png").stat().st_size > 10_000
