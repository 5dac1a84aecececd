"""A run learns, goes on bit by bit where it stopped, and refuses what would make it another run."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from zoomed_views import write_pairs_folder

from domainvl.enhance.checkpoint import load_checkpoint
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.pairs.records import PairSet
from domainvl.enhance.training import run as run_module
from domainvl.enhance.training.reporting import Reporting
from domainvl.enhance.training.run import TrainingSummary, train_enhancer
from domainvl.enhance.training.settings import TrainingSettings, make_settings
from domainvl.enhance.training.views import load_pairs
from domainvl.errors import StoppedError, UsageError
from domainvl.training.log import read_log
from domainvl.training.stopping import DivergedError

TINY_NETWORK = {"features": 8, "blocks": 1, "pack_block": 2}
TINY_TRAINING = {"batch": 2, "crop_px": 8, "restart_every": 4, "validate_every": 100, "save_every": 100}
TINY_TRAINING |= {"learning_rate": 2e-4}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing is held out, since pictures of it would take longer than all else."""
    folder = tmp_path_factory.mktemp("made") / "pairs"
    write_pairs_folder(folder, counts=(3, 0, 0), size_low=(12, 12))
    return folder


@pytest.fixture
def pairs(made: Path, tmp_path: Path) -> PairSet:
    shutil.copytree(made, tmp_path / "pairs")
    return PairSet(tmp_path / "pairs")


@pytest.fixture
def held_out_pairs(tmp_path: Path) -> PairSet:
    write_pairs_folder(tmp_path / "pairs", counts=(3, 1, 0), size_low=(12, 12))
    return PairSet(tmp_path / "pairs")


def settings_of(pairs: PairSet, *, network: dict[str, Any] | None = None, **training: Any) -> TrainingSettings:
    return make_settings("small", pairs.index, TINY_NETWORK | (network or {}), TINY_TRAINING | training)


def train(pairs: PairSet, out: Path, settings: TrainingSettings, **options: Any) -> TrainingSummary:
    return train_enhancer(pairs, out, settings, **({"tracking": "none", "device": "cpu", "threads": 1} | options))


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(out)[0].state_dict()


def test_a_run_that_was_stopped_and_resumed_is_the_run_that_was_not(
    held_out_pairs: PairSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = held_out_pairs
    for name in ("draw_panel", "draw_flow"):  # what takes longest
        monkeypatch.setattr(run_module, name, lambda *_: b"a picture")
    settings = settings_of(pairs, steps=6, validate_every=4)
    whole = train(pairs, tmp_path / "whole", settings)
    with pytest.raises(StoppedError, match="at step 3 of 6, the state is saved"):
        train(pairs, tmp_path / "halves", settings, stop_after_step=3)
    halves = train(pairs, tmp_path / "halves", settings, resume=True)
    assert (whole.steps_here, halves.steps_here) == (6, 3)
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(found[name].equal(value) for name, value in expected.items())
    names = ("log.jsonl", "checkpoint/enhancer.json", "checkpoint/weights.safetensors", "settings.json")
    for name in names:
        assert (tmp_path / "halves" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    steps = [(row["kind"], row["step"]) for row in read_log(tmp_path / "whole" / "log.jsonl")]
    assert [step for kind, step in steps if kind == "train"] == [1, 2, 3, 4, 5, 6]
    assert [step for kind, step in steps if kind == "validation"] == [0, 4, 6]


def test_the_rate_falls_as_a_cosine_and_starts_anew_after_twice_as_many_steps(pairs: PairSet, tmp_path: Path) -> None:
    train(pairs, tmp_path / "run", settings_of(pairs, steps=6, restart_every=2, network={"alignment": "none"}))
    rates = [row["learning_rate"] for row in read_log(tmp_path / "run" / "log.jsonl") if row["kind"] == "train"]
    shares = [0, 1 / 2, 0, 1 / 4, 1 / 2, 3 / 4]  # of the cycles of 2 and 4 steps
    expected = [1e-5 + (2e-4 - 1e-5) * (1 + math.cos(math.pi * share)) / 2 for share in shares]
    assert rates == pytest.approx(expected)


def test_a_run_that_is_done_says_so_and_goes_on_with_more_steps(pairs: PairSet, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(pairs, out, settings_of(pairs, steps=2))
    expected = weights(out)
    shutil.rmtree(out / "checkpoint")  # as if it was killed between its state and its checkpoint
    again = train(pairs, out, settings_of(pairs, steps=2), resume=True)
    assert (again.steps, again.steps_here) == (2, 0)
    assert all(value.equal(expected[name]) for name, value in weights(out).items())
    with pytest.raises(UsageError, match="the run has 2 steps already, more than the 1 asked for"):
        train(pairs, out, settings_of(pairs, steps=1), resume=True)
    assert json.loads((out / "settings.json").read_text())["steps"] == 2
    longer = train(pairs, out, settings_of(pairs, steps=3), resume=True)
    assert (longer.steps, longer.steps_here) == (3, 1)
    train(pairs, tmp_path / "at-once", settings_of(pairs, steps=3))
    expected = weights(tmp_path / "at-once")
    assert all(value.equal(expected[name]) for name, value in weights(out).items())


def test_a_run_that_saved_nothing_begins_at_the_start_and_says_so(pairs: PairSet, tmp_path: Path) -> None:
    settings, said = settings_of(pairs, steps=1, network={"alignment": "none"}), list[str]()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.json").write_text(settings.model_dump_json())
    assert train(pairs, tmp_path / "run", settings, resume=True, reporting=Reporting(say=said.append)).steps_here == 1
    assert "no state was saved yet: the run begins at the start" in said
    said.clear()
    train(pairs, tmp_path / "run", settings, resume=True, reporting=Reporting(say=said.append))
    assert not any("begins at the start" in line for line in said)


def test_other_settings_other_pairs_and_a_taken_folder_are_refused(pairs: PairSet, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(pairs, out, settings_of(pairs, steps=2))
    with pytest.raises(UsageError, match="the folder exists"):
        train(pairs, out, settings_of(pairs, steps=2))
    with pytest.raises(UsageError, match="other settings: batch was 2, is 3; learning_rate was 0.0002, is 0.001"):
        train(pairs, out, settings_of(pairs, steps=2, batch=3, learning_rate=1e-3), resume=True)
    write_pairs_folder(tmp_path / "others", counts=(2, 0, 0), size_low=(12, 12))
    others = PairSet(tmp_path / "others")
    with pytest.raises(UsageError, match="changed since the run was saved: pairs"):
        train(others, out, settings_of(pairs, steps=2), resume=True)
    (tmp_path / "no-run").mkdir()
    with pytest.raises(UsageError, match="it has no settings.json"):
        train(pairs, tmp_path / "no-run", settings_of(pairs, steps=2), resume=True)


def test_settings_for_other_bands_and_odd_crops_of_mosaics_are_refused(pairs: PairSet, tmp_path: Path) -> None:
    write_pairs_folder(tmp_path / "mosaics", counts=(1, 0, 0), size_low=(12, 12), mosaic=True)
    mosaics = PairSet(tmp_path / "mosaics")
    with pytest.raises(UsageError, match=r"scale and bands \(2, 1, 3\), the network \(2, 3, 3\)"):
        train(mosaics, tmp_path / "run", settings_of(pairs, steps=1))
    with pytest.raises(UsageError, match="must be even for mosaics, got 9"):
        train(mosaics, tmp_path / "run", settings_of(mosaics, steps=1, crop_px=9, network={"pack_block": 0}))
    assert not (tmp_path / "run").exists()


def test_training_finds_the_flow_between_the_views_and_the_losses_fall(tmp_path: Path) -> None:
    (made,) = write_pairs_folder(tmp_path / "pairs", counts=(1, 0, 0), size_low=(32, 32), flow_px=3.0)
    pairs = PairSet(tmp_path / "pairs")
    network = {"features": 16, "pack_block": 4, "bicubic_skip": False}
    training = {"batch": 1, "crop_px": 32, "learning_rate": 3e-3, "restart_every": 500, "augment": False}
    train(pairs, tmp_path / "run", settings_of(pairs, steps=70, zero_first_offsets=True, network=network, **training))
    rows = [row for row in read_log(tmp_path / "run" / "log.jsonl") if row["kind"] == "train"]
    for name in ("picture_loss", "alignment_loss"):
        assert rows[-1][name] < 0.5 * rows[0][name]
    (one,), _ = load_pairs(pairs, pairs.of_split("train"), least_px=32)
    window = one.window(0, 0, (32, 32))
    trained, _ = load_checkpoint(tmp_path / "run")
    with torch.no_grad():
        output = trained(torch.from_numpy(window.low)[None], torch.from_numpy(window.reference)[None])
    inner = (slice(None), slice(4, -4), slice(4, -4))
    flow, truth = output.flow_px[0].numpy()[inner], made.flow_px[inner]
    error_px, without_px = np.hypot(*(flow - truth)).mean(), np.hypot(*truth).mean()
    assert without_px > 0.6
    assert error_px < 0.8 * without_px
    assert error_px < 0.5


@pytest.mark.parametrize(
    ("pair_options", "network"),
    [
        ({"bands": 4, "dtype": "uint16"}, {}),
        ({"mosaic": True}, {}),
        ({"bands": 1, "dtype": "float32", "scale": 4}, {}),
        ({}, {"alignment": "none"}),
        ({}, {"alignment": "per-tap", "flips": False, "pack_block": 0, "largest_offset_px": 2.0}),
    ],
)
def test_other_bands_and_other_networks_are_trained(
    tmp_path: Path, pair_options: dict[str, Any], network: dict[str, Any]
) -> None:
    write_pairs_folder(tmp_path / "pairs", counts=(2, 0, 0), size_low=(12, 12), **pair_options)
    pairs = PairSet(tmp_path / "pairs")
    before = MisalignedSR(settings_of(pairs, network=network).network)
    before.initialise(0)
    train(pairs, tmp_path / "run", settings_of(pairs, steps=2, network=network))
    trained, enhancer = load_checkpoint(tmp_path / "run")
    assert (enhancer.low_view, enhancer.high_view, enhancer.mosaic) == (
        pairs.index.low_view,
        pairs.index.high_view,
        pairs.index.mosaic,
    )
    assert enhancer.trained["steps"] == 2
    assert not trained.tail.last.weight.equal(before.tail.last.weight)
    rows = read_log(tmp_path / "run" / "log.jsonl")
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert ("alignment_loss" in rows[0]) == (network.get("alignment") != "none")


def test_the_alignment_loss_counts_as_much_as_it_is_weighed(pairs: PairSet, tmp_path: Path) -> None:
    train(pairs, tmp_path / "run", settings_of(pairs, steps=1, alignment_weight=0.25))
    row = next(row for row in read_log(tmp_path / "run" / "log.jsonl") if row["kind"] == "train")
    assert row["loss"] == pytest.approx(row["picture_loss"] + 0.25 * row["alignment_loss"])


def test_a_run_that_diverges_leaves_its_last_checkpoint(
    pairs: PairSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(pairs, steps=4, save_every=2)
    calls: list[int] = []
    losses = run_module.pair_losses

    def spoilt(*arguments: Any, **options: Any) -> dict[str, torch.Tensor]:
        calls.append(1)
        found = losses(*arguments, **options)
        return found if len(calls) < 3 else found | {"alignment": found["alignment"] * math.nan}

    monkeypatch.setattr(run_module, "pair_losses", spoilt)
    with pytest.raises(DivergedError) as caught:
        train(pairs, tmp_path / "run", settings)
    message = str(caught.value)
    assert "The run diverged at step 3" in message
    assert "alignment_loss itself, nan" in message
    assert "the checkpoint and the state of step 2 are kept" in message
    assert load_checkpoint(tmp_path / "run")[1].trained["steps"] == 2
    assert all(value.isfinite().all() for value in weights(tmp_path / "run").values())


def test_small_pairs_are_left_out_listed_and_told(pairs: PairSet, tmp_path: Path) -> None:
    write_pairs_folder(tmp_path / "small", counts=(1, 0, 0), size_low=(10, 12), seed=5)
    for view in ("low", "high"):
        name = f"{view}/scene-000.tif"
        (pairs.folder / name).write_bytes((tmp_path / "small" / name).read_bytes())
    said: list[str] = []
    settings = settings_of(pairs, steps=1, crop_px=12)
    summary = train(pairs, tmp_path / "run", settings, reporting=Reporting(say=said.append))
    assert (summary.pairs, [one.id for one in summary.left_out]) == (2, ["scene-000"])
    listed = json.loads((tmp_path / "run" / "left-out.jsonl").read_text())
    assert listed["reason"] == "smaller-than-crop"
    assert "left out: scene-000 has 10 x 12 low pixels, fewer than a crop's 12" in said


def test_pictures_and_numbers_are_drawn_and_tracked(held_out_pairs: PairSet, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    summary = train(held_out_pairs, out, settings_of(held_out_pairs, steps=1), tracking="tensorboard")
    assert sorted(path.name for path in (out / "pictures").iterdir()) == [
        f"step-{step:06d}-scene-003{kind}.png" for step in (0, 1) for kind in ("-flow", "")
    ]
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert events.Scalars("train/picture_loss")[0].step == 1
    assert events.Scalars("validation/psnr_db")[-1].value == pytest.approx(summary.look["psnr_db"], rel=1e-5)
    assert {"pictures/scene-003", "pictures/scene-003-flow"} <= set(events.Tags()["images"])
