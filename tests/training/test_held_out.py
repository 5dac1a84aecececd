"""What a run looks at besides: each held-out sample once, answers spread over the domain's sources."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from training.inputs import model_input

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.schema import Sample, Split, read_samples
from domainvl.training.held_out import HeldOut, score_answers
from domainvl.training.mixture import MixtureSpec, mixture_of
from domainvl.training.processes import Processes
from domainvl.training.recipe_files import load_recipe


@pytest.fixture(scope="module")
def loaded(untrained: Path) -> LoadedModel:
    return load_model(str(untrained))


def held_out(loaded: LoadedModel, spec: MixtureSpec, *changes: str) -> HeldOut:
    recipe = load_recipe("quickstart/medical", overrides=["validation.max_new_tokens=2", *changes])
    return HeldOut(spec, recipe, model_input(loaded), "packed")


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_look_at_each_sample_once(loaded: LoadedModel, squares: Path, world_size: int) -> None:
    looked = held_out(loaded, mixture_of([squares]), "validation.max_samples=100", "packing.max_tokens=200")
    names = []
    counts = set()
    for rank in range(world_size):
        packs = list(looked.packs(Processes(rank, world_size, 0, torch.device("cpu"))))
        counts.add(len(packs))
        names += [name for pack in packs for name in pack.names]
    assert sorted(names) == sorted(sample.id for sample in read_samples(squares, Split.VAL))
    assert len(counts) == 1


def test_answers_are_spread_over_the_domain(loaded: LoadedModel, squares: Path, tmp_path: Path) -> None:
    second = shutil.copytree(squares, tmp_path / "second")
    spec = mixture_of([squares, second], [shutil.copytree(squares, tmp_path / "general")])
    answered = held_out(loaded, spec, "validation.answers=5").answers(loaded)
    assert len(answered) == 5
    every = [sample.id for sample in read_samples(squares, Split.VAL)]
    three, two = ([every[index * len(every) // count] for index in range(count)] for count in (3, 2))
    assert sorted(one.sample.id for one in answered) == sorted(three + two)


def test_what_can_be_scored_is_known_before(loaded: LoadedModel, squares: Path) -> None:
    looked = held_out(loaded, mixture_of([squares]))
    assert looked.can_be_scored(lambda answered: 0.0)
    assert not looked.can_be_scored(lambda answered: None)
    assert not looked.can_be_scored(None)
    assert not held_out(loaded, mixture_of([squares]), "validation.answers=0").can_be_scored(lambda answered: 0.0)


def test_without_held_out_samples_there_is_nothing_to_look_at(
    loaded: LoadedModel, squares: Path, tmp_path: Path
) -> None:
    bare = shutil.copytree(squares, tmp_path / "bare")
    (bare / "val.jsonl").unlink()
    looked = held_out(loaded, mixture_of([bare]))
    assert not looked
    assert looked.answers(loaded) == []
    assert held_out(loaded, mixture_of([squares]))


def test_too_long_ones_are_told(loaded: LoadedModel, squares: Path) -> None:
    looked = held_out(loaded, mixture_of([squares]), "packing.max_sample_tokens=50")
    assert {one.max_tiles for one in looked.over_long} == {None}


def test_a_score_is_that_of_samples_with_their_answers(loaded: LoadedModel, squares: Path) -> None:
    answered = held_out(loaded, mixture_of([squares]), "validation.answers=2").answers(loaded)
    seen: list[tuple[Sample, str]] = []

    def score(pairs: list[tuple[Sample, str]]) -> float:
        seen.extend(pairs)
        return 0.5

    assert score_answers(score, answered) == 0.5
    assert seen == [(one.sample, one.text) for one in answered]
    assert score_answers(None, answered) is None
    assert score_answers(score, []) is None
