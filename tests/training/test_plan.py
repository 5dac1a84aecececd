"""The plan of a run: each sample as often as it should be, within the limits, the same whatever divides it."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from training.inputs import model_input, sources_of

from domainvl.errors import DatasetError, NothingToDoError
from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.training.mixture import MixtureSpec, mixture_of
from domainvl.training.plan import Arrangement, TrainingPlan, make_plan, measure_fill, plan_all
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe


@pytest.fixture(scope="module")
def loaded(untrained: Path) -> LoadedModel:
    return load_model(str(untrained))


def recipe(*changes: str) -> Recipe:
    base = ["packing.max_tokens=200", "optimisation.epochs=1", "optimisation.max_steps=null"]
    return load_recipe("quickstart/medical", overrides=[*base, *changes])


def plan(
    loaded: LoadedModel,
    folder: Path,
    *changes: str,
    arrangement: Arrangement = "packed",
    spec: MixtureSpec | None = None,
    rope_border: int | None = None,
) -> TrainingPlan:
    spec = spec or mixture_of([folder])
    return make_plan(recipe(*changes), spec, sources_of(loaded, spec), model_input(loaded, rope_border), arrangement)


def samples_of(made: TrainingPlan, micros: Any = None) -> list[tuple[int, int]]:
    chosen = made.packs if micros is None else micros
    return [
        (made.units[unit].source, index) for micro in chosen for unit in micro for index in made.units[unit].indices
    ]


@pytest.mark.parametrize("arrangement", ["packed", "grouped"])
def test_each_epoch_is_each_sample_once(loaded: LoadedModel, squares: Path, arrangement: Arrangement) -> None:
    made = plan(loaded, squares, "optimisation.epochs=3", arrangement=arrangement)
    assert Counter(samples_of(made)) == {(0, index): 3 for index in range(36)}


def test_packs_keep_the_limits(loaded: LoadedModel, squares: Path) -> None:
    for changes in (["optimisation.batch_size=6"], ["optimisation.packs_per_step=2"]):
        made = plan(loaded, squares, "packing.max_tiles=3", *changes)
        for micro in made.packs:
            tokens, tiles = made.sizes[micro].sum(axis=0)
            assert tokens <= 200
            assert tiles <= 3


def test_sizes_are_those_of_the_encoded_samples(loaded: LoadedModel, squares: Path) -> None:
    made = plan(loaded, squares, "optimisation.questions_per_pass=1")
    (source,) = sources_of(loaded, mixture_of([squares]))
    for unit in made.units:
        (encoded,) = source.encode(unit.indices, model_input(loaded), unit.max_tiles)
        assert unit.tokens == unit.longest == len(encoded.input_ids)
        assert unit.tiles == len(encoded.images)  # of one tile each
        assert unit.supervised == sum(encoded.supervised)


def test_a_step_has_as_many_samples_as_asked_on_average(loaded: LoadedModel, squares: Path) -> None:
    made = plan(loaded, squares, "optimisation.batch_size=9")
    assert len(made.steps) == 4
    counts = [len(samples_of(made, step)) for step in made.steps]
    assert sum(counts) == 36
    assert all(7 <= count <= 11 for count in counts)  # units have two questions or one


def test_steps_are_the_same_whatever_the_arrangement(loaded: LoadedModel, squares: Path) -> None:
    packed, grouped = (
        plan(loaded, squares, "optimisation.batch_size=9", arrangement=arrangement)
        for arrangement in ("packed", "grouped")
    )
    assert packed.digest() == grouped.digest()


def test_a_step_has_as_many_packs_as_asked(loaded: LoadedModel, squares: Path) -> None:
    made = plan(loaded, squares, "optimisation.packs_per_step=2")
    assert {len(step) for step in made.steps[:-1]} == {2}
    assert len(made.steps) == math.ceil(sum(1 for _ in made.packs) / 2)


def test_order_depends_on_seed_and_epoch_alone(loaded: LoadedModel, squares: Path) -> None:
    one = plan(loaded, squares, "optimisation.epochs=2")
    assert one.steps == plan(loaded, squares, "optimisation.epochs=2").steps
    assert one.digest() != plan(loaded, squares, "optimisation.epochs=2", "seed=1").digest()
    half = len(one.steps) // 2
    assert samples_of(one, [micro for step in one.steps[:half] for micro in step]) != samples_of(
        one, [micro for step in one.steps[half:] for micro in step]
    )


@pytest.mark.parametrize(("epochs", "steps"), [(0.5, 2), (1.0, 4), (1.5, 6), (2.0, 8)])
def test_parts_of_epochs(loaded: LoadedModel, squares: Path, epochs: float, steps: int) -> None:
    made = plan(loaded, squares, "optimisation.batch_size=9", f"optimisation.epochs={epochs}")
    assert len(made.steps) == steps
    whole = plan(loaded, squares, "optimisation.batch_size=9", "optimisation.epochs=2")
    assert made.steps == whole.steps[:steps]
    assert len(plan(loaded, squares, "optimisation.epochs=9", "optimisation.max_steps=3").steps) == 3


def test_neighbours_in_the_file_do_not_stay_together(loaded: LoadedModel, squares: Path) -> None:
    made = plan(loaded, squares, "optimisation.questions_per_pass=1", "optimisation.batch_size=6")
    firsts = [min(index for _, index in samples_of(made, step)) for step in made.steps]
    spans = [
        max(index for _, index in samples_of(made, step)) - first
        for step, first in zip(made.steps, firsts, strict=True)
    ]
    assert sum(spans) / len(spans) > 18


@pytest.mark.parametrize("arrangement", ["packed", "grouped"])
@pytest.mark.parametrize(("processes", "parts"), [(1, 1), (1, 3), (2, 1), (3, 2), (8, 1)])
def test_processes_share_each_step_whole_and_call_equally_often(
    loaded: LoadedModel, squares: Path, arrangement: Arrangement, processes: int, parts: int
) -> None:
    made = plan(loaded, squares, "optimisation.batch_size=12", arrangement=arrangement)
    for number, step in enumerate(made.steps):
        shares = [made.share(number, rank, processes, parts) for rank in range(processes)]
        assert len({len(share) for share in shares}) == 1
        together = [micro for share in shares for micro in share]
        assert sorted(samples_of(made, together)) == sorted(samples_of(made, step))
        if processes <= len(step) and parts == 1:
            assert sorted(filter(None, together)) == sorted(step)


def test_parts_of_a_pack_are_about_equal(loaded: LoadedModel, squares: Path) -> None:
    made = plan(loaded, squares, "packing.max_tokens=16384", "optimisation.batch_size=36")
    (whole,) = made.steps[0]
    parts = made.share(0, 0, 1, 4)
    tokens = [made.row_tokens(part) for part in parts]
    assert len(parts) == 4
    assert sum(tokens) == made.row_tokens(whole)
    assert max(tokens) - min(tokens) <= max(made.units[unit].tokens for unit in whole)


def test_how_much_is_computed_at_a_time_is_no_part_of_the_digest(loaded: LoadedModel, squares: Path) -> None:
    digests = {
        plan(loaded, squares, f"optimisation.micro_batch_size={size}", arrangement="grouped").digest()
        for size in (1, 4, 32)
    }
    assert len(digests) == 1


def test_grouped_rows_keep_the_limits_of_a_pack(loaded: LoadedModel, squares: Path) -> None:
    changes = ("optimisation.batch_size=36", "optimisation.micro_batch_size=32", "packing.max_tiles=5")
    made = plan(loaded, squares, *changes, "packing.max_tokens=300", arrangement="grouped")
    assert max(len(micro) for micro in made.packs) > 1
    for micro in made.packs:
        assert made.row_tokens(micro) <= 300
        assert made.sizes[micro][:, 1].sum() <= 5


def test_grouped_rows_are_about_equally_long(loaded: LoadedModel, squares: Path) -> None:
    """One question about one image is shorter than one about two; random pairs of them would mix."""
    changes = ("optimisation.batch_size=36", "optimisation.micro_batch_size=4", "optimisation.questions_per_pass=1")
    made = plan(loaded, squares, *changes, "packing.max_tokens=9999", arrangement="grouped")
    lengths = [[made.units[unit].tokens for unit in micro] for micro in made.steps[0]]
    assert all(len(row) <= 4 for row in lengths)
    assert [length for row in lengths for length in row] == sorted(length for row in lengths for length in row)


@pytest.mark.parametrize("arrangement", ["packed", "grouped"])
def test_samples_on_both_sides_of_a_rope_border_are_computed_apart(
    loaded: LoadedModel, squares: Path, arrangement: Arrangement
) -> None:
    """Phi-3 chooses its rotary factors by the longest sample of what is computed at a time."""
    free = plan(loaded, squares, "optimisation.batch_size=36", arrangement=arrangement)
    border = sorted({unit.longest for unit in free.units})[-2]
    made = plan(loaded, squares, "optimisation.batch_size=36", arrangement=arrangement, rope_border=border)
    sides = [{made.units[unit].longest > border for unit in micro} for micro in made.packs]
    assert all(len(side) == 1 for side in sides)
    assert {True} in sides
    assert {False} in sides


def test_the_ratio_holds_in_every_epoch_and_general_samples_change(
    loaded: LoadedModel, squares: Path, tmp_path: Path
) -> None:
    spec = mixture_of([squares], [_copy(squares, tmp_path / "general")])
    made = plan(loaded, squares, "mixture.general_ratio=0.25", "optimisation.epochs=2", spec=spec)
    seen = Counter(samples_of(made))
    assert sum(count for (source, _), count in seen.items() if source == 1) == 18  # a quarter of 36, twice
    assert len([key for key in seen if key[0] == 1]) > 9
    assert Counter(count for (source, _), count in seen.items() if source == 0) == {2: 36}


def _copy(folder: Path, target: Path) -> Path:
    import shutil

    return shutil.copytree(folder, target)


# --- what is too long


def limits(loaded: LoadedModel, squares: Path) -> tuple[int, int]:
    """Return the longest sample about one image, and about two: only the images' number makes the difference here."""
    made = plan(loaded, squares, "optimisation.questions_per_pass=1")
    by_tiles = {tiles: [unit.tokens for unit in made.units if unit.tiles == tiles] for tiles in (1, 2)}
    return max(by_tiles[1]), min(by_tiles[2])


def test_too_long_together_is_computed_apart(loaded: LoadedModel, squares: Path) -> None:
    longest = max(unit.longest for unit in plan(loaded, squares).units)
    made = plan(loaded, squares, f"packing.max_tokens={longest}")
    assert not made.over_long
    assert Counter(samples_of(made)) == {(0, index): 1 for index in range(36)}
    assert max(made.row_tokens(micro) for micro in made.packs) <= longest


def test_a_sample_that_never_fits_is_refused_with_its_numbers(loaded: LoadedModel, squares: Path) -> None:
    one, two = limits(loaded, squares)
    assert one < two
    for rule in ("refuse", "fewer-tiles"):
        with pytest.raises(DatasetError, match=rf"at most {one} tokens.*12 are longer: .*{two} tokens, 2 tiles"):
            plan(loaded, squares, f"packing.max_sample_tokens={one}", f"packing.over_long={rule}")


def test_a_sample_that_never_fits_is_left_out_and_listed_if_wanted(loaded: LoadedModel, squares: Path) -> None:
    one, _ = limits(loaded, squares)
    made = plan(loaded, squares, f"packing.max_sample_tokens={one}", "packing.over_long=leave-out")
    assert len(made.over_long) == 12
    assert all(found.max_tiles is None and found.tiles == 2 for found in made.over_long)
    assert len(samples_of(made)) == 24
    with pytest.raises(NothingToDoError, match="left out as too long"):
        plan(loaded, squares, "packing.max_sample_tokens=5", "packing.over_long=leave-out")


def test_fewer_tiles_come_first(loaded: LoadedModel, squares: Path, tmp_path: Path) -> None:
    """A wide image has six tiles and a thumbnail where six are allowed; with three or fewer the sample fits."""
    wide = _widened(squares, tmp_path / "wide")
    free = plan(loaded, wide, "optimisation.questions_per_pass=1")
    assert free.units[0].tiles == 1  # the checkpoint allows one
    loose = model_input(loaded)
    many = type(loose)(loose.encoder, loose.preprocessing.limited_to(6), None)
    spec = mixture_of([wide])
    changes = ["packing.max_sample_tokens=120", "optimisation.questions_per_pass=1"]
    made = make_plan(recipe(*changes), spec, sources_of(loaded, spec), many, "packed")
    cut = [found for found in made.over_long if found.tiles == 7]
    assert cut
    assert {found.max_tiles for found in cut} == {3}
    unit = next(unit for unit in made.units if unit.max_tiles == 3)
    assert unit.tiles == 4
    with pytest.raises(DatasetError, match="7 tiles"):
        make_plan(recipe(*changes, "packing.over_long=refuse"), spec, sources_of(loaded, spec), many, "packed")


def _widened(folder: Path, target: Path) -> Path:
    """Say of the first image that it is six times as wide; plans read no pixels."""
    import json

    copy = _copy(folder, target)
    lines = (copy / "train.jsonl").read_text().splitlines()
    record = json.loads(lines[0])
    record["width"] = 6 * 64
    record["domainvl"]["objects"] = []
    record["domainvl"]["answer"] = {"kind": "text", "text": "red"}
    (copy / "train.jsonl").write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n")
    return copy


# --- all samples in order


@pytest.mark.parametrize("arrangement", ["packed", "grouped"])
def test_held_out_samples_are_each_once(loaded: LoadedModel, squares: Path, arrangement: Arrangement) -> None:
    sources = sources_of(loaded, mixture_of([squares]))
    made = plan_all(recipe(), sources, model_input(loaded), arrangement)
    assert len(made.steps) == 1
    assert Counter(samples_of(made)) == {(0, index): 1 for index in range(36)}


def test_fill_counts_padding(loaded: LoadedModel, squares: Path) -> None:
    packed, grouped = (
        measure_fill(
            plan(loaded, squares, "optimisation.batch_size=36", "packing.max_tokens=9999", arrangement=arrangement)
        )
        for arrangement in ("packed", "grouped")
    )
    assert packed.computed_tokens == packed.tokens == grouped.tokens < grouped.computed_tokens
    assert packed.samples == grouped.samples == 36
    assert packed.packs >= packed.fewest_packs


def test_a_model_that_stretches_its_positions_sees_no_longer_samples(loaded: LoadedModel, squares: Path) -> None:
    """InternLM2 does by the longest sample so far (dynamic NTK): what a sample is given would depend on others."""
    one, two = limits(loaded, squares)
    spec, plain = mixture_of([squares]), model_input(loaded)
    limited = type(plain)(plain.encoder, plain.preprocessing, longest=one)
    with pytest.raises(DatasetError, match=rf"for this model {one}, .*12 are longer: .*{two} tokens"):
        make_plan(recipe(), spec, sources_of(loaded, spec), limited, "packed")
