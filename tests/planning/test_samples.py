"""Counting the samples of a data set."""

from __future__ import annotations

import dataclasses
import math

import pytest

from domainvl.errors import NothingToDoError
from domainvl.model.preprocessing import Preprocessing
from domainvl.planning.rehearsal import BatchShape, Row
from domainvl.planning.samples import Samples, assume_samples, count_samples, largest_shape
from domainvl.planning.subject import find_subject
from domainvl.schema import DatasetWriter, Split, read_samples
from domainvl.training.plan import PlannedUnit, TrainingPlan
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe

ASSUMED = Row(12, 100, 50)
TILES = Preprocessing(tile_side_px=64, tokens_per_tile=16, max_tiles=1)


def recipe(*changes: str) -> Recipe:
    return load_recipe("_shared/lora", overrides=list(changes))


def samples_of(tokens: list[int]) -> Samples:
    return Samples(ASSUMED, tokens, len(tokens), 7, True, BatchShape.of(ASSUMED), 1, 16)


def test_percentiles_are_nearest_ranks():
    samples = samples_of(list(range(1, 101)))

    assert (samples.percentile(0.5), samples.percentile(0.95), samples.percentile(1.0)) == (50, 95, 100)
    assert samples_of([3, 9]).percentile(0.01) == 3


@pytest.mark.parametrize(("count", "steps"), [(None, None), (16, 1), (17, 2), (1, 1)])
def test_without_a_data_set_the_last_step_may_be_smaller(count, steps):
    samples = assume_samples(Row(13, 256, 64), 256, count, recipe("optimisation.batch_size=16"))

    assert samples.steps_per_epoch == steps
    assert samples.tokens == [13 * 256 + 256]
    assert samples.text_counted is False


@pytest.mark.parametrize(
    ("changes", "units", "packs"),
    [
        # 3,584 tokens and 13 tiles each.
        ((), 3, 6),  # 48 tiles
        (("packing.max_tiles=100",), 4, 4),  # 16,384 tokens
        (("packing.max_tiles=100", "packing.max_tokens=100000", "optimisation.batch_size=5"), 5, 1),
        (("optimisation.packs_per_step=7", "optimisation.batch_size=1"), 3, 7),
        (("packing.max_tiles=12",), 1, 16),
    ],
)
def test_an_assumed_pack_is_as_full_as_its_limits_allow(changes, units, packs):
    samples = assume_samples(Row(13, 256, 64), 256, None, recipe(*changes))

    assert samples.pack == BatchShape(1, units, 13 * units, 256 * units, 64 * units)
    assert samples.packs_per_step == packs


def test_packs_a_step_say_how_many_samples_a_step_has():
    samples = assume_samples(Row(13, 256, 64), 256, 100, recipe("optimisation.packs_per_step=2"))

    assert samples.steps_per_epoch == math.ceil(100 / (2 * 3))


def test_assumed_rows_are_no_more_than_a_step():
    grouped = ("packing.arrangement=grouped", "optimisation.micro_batch_size=4")

    assert assume_samples(ASSUMED, 16, None, recipe(*grouped)).pack == BatchShape.of(ASSUMED, rows=4)
    few = assume_samples(ASSUMED, 16, None, recipe(*grouped, "optimisation.batch_size=3"))
    assert (few.pack.rows, few.packs_per_step) == (3, 1)


def test_parts_of_an_assumed_pack():
    samples = assume_samples(Row(13, 256, 64), 256, None, recipe())

    assert samples.shape(1) == samples.pack
    assert samples.shape(2) == BatchShape(1, 2, 26, 512, 128)
    assert samples.shape(16) == BatchShape(1, 1, 13, 256, 64)


def test_parts_of_rows():
    assert BatchShape.of(ASSUMED, rows=5).divided(2) == BatchShape.of(ASSUMED, rows=3)


def plan_of(*packs: list[PlannedUnit], arrangement: str = "packed") -> TrainingPlan:
    units = [unit for one in packs for unit in one]
    numbers = iter(range(len(units)))
    steps = [[[next(numbers) for _ in one]] for one in packs]
    return TrainingPlan(("data",), units, steps, arrangement, [], (1000, 48))


def unit(tokens: int, tiles: int, supervised: int, samples: int = 1) -> PlannedUnit:
    return PlannedUnit(0, range(samples), 12, tokens, tiles, supervised, tokens)


PACKS = ([unit(50, 1, 3), unit(100, 4, 2, samples=2)], [unit(200, 0, 9)])


def test_the_largest_pack_has_the_most_of_everything():
    # Of 16 tokens a tile: 150 tokens with 5 tiles, and 200 with none.
    assert largest_shape(plan_of(*PACKS), 16) == BatchShape(1, 2, 5, 200, 9, questions=2)


def test_the_largest_part_of_a_pack_is_that_of_its_largest_unit():
    assert largest_shape(plan_of(PACKS[0]), 16, 2) == BatchShape(1, 1, 4, 36, 3, questions=2)


def test_the_largest_rows_are_padded_to_their_longest():
    assert largest_shape(plan_of(*PACKS, arrangement="grouped"), 16) == BatchShape(2, 1, 4, 200, 9, questions=2)


def test_tiles_are_counted_and_text_assumed_without_a_tokenizer(squares):
    samples = count_samples(squares, TILES, None, ASSUMED, recipe())
    images = [len(sample.images) for sample in read_samples(squares, Split.TRAIN)]

    # Images of one tile each, of 16 tokens; 100 tokens of text.
    assert samples.tokens == sorted(16 * count + 100 for count in images)
    assert samples.count == len(images) == 36
    assert samples.row == Row(2, 100, 50)
    assert samples.text_counted is False


def counted(squares, untrained, *changes: str) -> Samples:
    return count_samples(squares, TILES, find_subject(str(untrained)).encoder(), ASSUMED, recipe(*changes))


def test_text_is_counted_by_the_checkpoint_s_tokenizer(squares, untrained):
    from transformers import PreTrainedTokenizerFast

    samples = counted(squares, untrained)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(untrained)
    answers = [sample.turns[-1].text for sample in read_samples(squares, Split.TRAIN)]

    assert samples.text_counted is True
    # An answer and the token that ends it.
    longest = max(len(tokenizer(answer, add_special_tokens=False).input_ids) for answer in answers) + 1
    assert samples.row.answer_tokens == longest
    assert samples.row.text_tokens > longest
    assert samples.tokens[-1] <= samples.row.tokens(16)


def test_steps_are_those_of_training(squares, untrained):
    grouped = ("packing.arrangement=grouped", "optimisation.batch_size=7")
    one_each = counted(squares, untrained, *grouped, "optimisation.questions_per_pass=1")
    shared = counted(squares, untrained, *grouped, "optimisation.questions_per_pass=8")

    assert one_each.steps_per_epoch == shared.steps_per_epoch == math.ceil(36 / 7)
    assert (one_each.pack.questions, shared.pack.questions) == (1, 2)


def test_all_samples_fit_in_one_pack(squares, untrained):
    samples = counted(
        squares, untrained, "optimisation.batch_size=36", "optimisation.questions_per_pass=1", "optimisation.epochs=3"
    )

    assert (samples.steps_per_epoch, samples.packs_per_step) == (1, 1)
    # 12 groups of two questions about one image and one about two.
    assert dataclasses.astuple(samples.pack)[:3] == (1, 36, 48)
    assert samples.pack.text_tokens + 48 * 16 == sum(samples.tokens)


def test_a_data_set_without_training_samples_is_nothing_to_do(tmp_path):
    with DatasetWriter(tmp_path / "empty", name="empty") as writer:
        writer.finish(command="none", settings={}, sources=[], versions={})

    with pytest.raises(NothingToDoError, match=r"train\.jsonl is empty"):
        count_samples(tmp_path / "empty", TILES, None, ASSUMED, recipe())
