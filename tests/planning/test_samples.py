"""Counting the samples of a data set."""

from __future__ import annotations

import math

import pytest

from domainvl.errors import NothingToDoError
from domainvl.model.preprocessing import Preprocessing
from domainvl.planning.rehearsal import Row
from domainvl.planning.samples import Samples, assume_samples, count_samples
from domainvl.planning.subject import find_subject
from domainvl.schema import DatasetWriter, Split, read_samples
from domainvl.training.recipe import Optimisation

ASSUMED = Row(12, 100, 50)
TILES = Preprocessing(tile_side_px=64, tokens_per_tile=16, max_tiles=1)


def test_percentiles_are_nearest_ranks():
    samples = Samples(ASSUMED, list(range(1, 101)), 100, 7, text_counted=True)

    assert (samples.percentile(0.5), samples.percentile(0.95), samples.percentile(1.0)) == (50, 95, 100)
    assert Samples(ASSUMED, [3, 9], 2, 1, text_counted=True).percentile(0.01) == 3


@pytest.mark.parametrize(("count", "steps"), [(None, None), (16, 1), (17, 2), (1, 1)])
def test_without_a_data_set_the_last_step_may_be_smaller(count, steps):
    samples = assume_samples(Row(13, 256, 64), 256, count, Optimisation(batch_size=16))

    assert samples.steps_per_epoch == steps
    assert samples.tokens == [13 * 256 + 256]
    assert samples.text_counted is False


def test_tiles_are_counted_and_text_assumed_without_a_tokenizer(squares):
    samples = count_samples(squares, TILES, None, ASSUMED, Optimisation(), seed=0)
    images = [len(sample.images) for sample in read_samples(squares, Split.TRAIN)]

    # Images of one tile each, of 16 tokens; 100 tokens of text.
    assert samples.tokens == sorted(16 * count + 100 for count in images)
    assert samples.count == len(images) == 36
    assert samples.row == Row(2, 100, 50)
    assert samples.text_counted is False


def test_text_is_counted_by_the_checkpoint_s_tokenizer(squares, untrained):
    from transformers import PreTrainedTokenizerFast

    samples = count_samples(squares, TILES, find_subject(str(untrained)).encoder(), ASSUMED, Optimisation(), seed=0)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(untrained)
    answers = [sample.turns[-1].text for sample in read_samples(squares, Split.TRAIN)]

    assert samples.text_counted is True
    # An answer and the token that ends it.
    longest = max(len(tokenizer(answer, add_special_tokens=False).input_ids) for answer in answers) + 1
    assert samples.row.answer_tokens == longest
    assert samples.row.text_tokens > longest
    assert samples.tokens[-1] <= samples.row.tokens(16)


def test_steps_are_those_of_training(squares):
    # 36 samples in 12 groups of two questions about one image and one about two: passes of 2 and 1.
    one_each = count_samples(squares, TILES, None, ASSUMED, Optimisation(batch_size=7, questions_per_pass=1), seed=0)
    shared = count_samples(squares, TILES, None, ASSUMED, Optimisation(batch_size=7, questions_per_pass=8), seed=0)

    assert one_each.steps_per_epoch == math.ceil(36 / 7)
    # Seven samples are 4.67 of 24 passes.
    assert shared.steps_per_epoch == math.ceil(24 / 5)


def test_a_data_set_without_training_samples_is_nothing_to_do(tmp_path):
    with DatasetWriter(tmp_path / "empty", name="empty") as writer:
        writer.finish(command="none", settings={}, sources=[], versions={})

    with pytest.raises(NothingToDoError, match=r"train\.jsonl is empty"):
        count_samples(tmp_path / "empty", TILES, None, ASSUMED, Optimisation(), seed=0)
