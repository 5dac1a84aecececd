"""Reading ahead: the same packs in the same order, what is broken left out, counted and limited."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from training.inputs import model_input, sources_of

from domainvl.errors import StoppedError
from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.schema import Split, read_samples
from domainvl.training.loading import UNREADABLE, ErrorBudget, ImageLoader, PackLoader, Skipped
from domainvl.training.mixture import mixture_of
from domainvl.training.plan import TrainingPlan, make_plan
from domainvl.training.recipe_files import load_recipe


@pytest.fixture(scope="module")
def loaded(untrained: Path) -> LoadedModel:
    return load_model(str(untrained))


def loader(loaded: LoadedModel, *folders: Path) -> tuple[PackLoader, TrainingPlan]:
    recipe = load_recipe("quickstart/medical", overrides=["optimisation.batch_size=6", "optimisation.epochs=1"])
    spec = mixture_of(folders)
    sources = sources_of(loaded, spec)
    model = model_input(loaded)
    plan = make_plan(recipe, spec, sources, model, "packed")
    images = [ImageLoader(source.folder, loaded.spec.preprocessing) for source in sources]
    return PackLoader(plan, sources, images, model, "token"), plan


def test_reading_ahead_changes_nothing(loaded: LoadedModel, squares: Path) -> None:
    reads, plan = loader(loaded, squares)
    micros = list(plan.packs)
    alone = [reads.read(micro) for micro in micros]
    for readers in (0, 3):
        for one, other in zip(alone, reads.read_all(micros, readers), strict=True):
            assert torch.equal(one.batch.input_ids, other.batch.input_ids)
            assert one.names == other.names
            assert all((a.tiles == b.tiles).all() for a, b in zip(one.batch.images, other.batch.images, strict=True))


def test_a_pack_says_what_is_in_it(loaded: LoadedModel, squares: Path, tmp_path: Path) -> None:
    reads, plan = loader(loaded, squares, shutil.copytree(squares, tmp_path / "other"))
    for micro in plan.packs:
        pack = reads.read(micro)
        units = [plan.units[unit] for unit in micro]
        for source in (0, 1):
            own = [unit for unit in units if unit.source == source]
            assert pack.samples[source] == sum(len(unit.indices) for unit in own)
            assert pack.tokens[source] == sum(unit.tokens for unit in own)
            assert (pack.batch.sources == source).sum() == pack.tokens[source]
        assert pack.tiles == sum(unit.tiles for unit in units) == sum(len(image.tiles) for image in pack.batch.images)
        assert pack.skipped == ()


def test_the_units_of_a_broken_image_are_left_out_and_the_others_stay(
    loaded: LoadedModel, squares: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(squares, tmp_path / "data")
    samples = list(read_samples(damaged, Split.TRAIN))
    broken = samples[0].images[0].path
    (damaged / broken).write_bytes(b"")
    lost = {sample.id for sample in samples if broken in [image.path for image in sample.images]}
    assert len(lost) == 3
    reads, plan = loader(loaded, damaged)
    packs = [reads.read(micro) for micro in plan.packs]
    skipped = [one for pack in packs for one in pack.skipped]
    assert {name for one in skipped for name in one.samples} == lost
    assert all(one.source == "data" and one.reason == UNREADABLE and broken in one.message for one in skipped)
    assert sorted(name for pack in packs for name in pack.names) == sorted({sample.id for sample in samples} - lost)


def skipped(count: int) -> Skipped:
    return Skipped("data", tuple(f"s{number}" for number in range(count)), UNREADABLE, "x.png is broken")


def test_the_budget_counts_samples_and_ends_the_run_beyond_its_share() -> None:
    budget = ErrorBudget(0.1, 20)
    assert budget.spend([skipped(2)]) == [
        {"source": "data", "samples": ["s0", "s1"], "reason": UNREADABLE, "message": "x.png is broken"}
    ]
    budget.check()
    budget.spend([skipped(1)])
    assert budget.counts == {UNREADABLE: 3}
    with pytest.raises(StoppedError, match=r"at most 10.0% of 20 may fail .*, got 3, the last: x.png is broken"):
        budget.check()


def test_a_budget_of_nothing_takes_no_failure() -> None:
    budget = ErrorBudget(0.0, 20)
    budget.check()
    budget.spend([skipped(1)])
    with pytest.raises(StoppedError):
        budget.check()
