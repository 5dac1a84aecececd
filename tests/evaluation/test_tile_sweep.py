"""Scores and costs by the limit of tiles."""

from collections.abc import Callable, Sequence

import pytest

from domainvl.errors import DatasetError, NothingToDoError, UsageError
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.loading import load_protocol
from domainvl.evaluation.protocols.scoring import select_samples
from domainvl.evaluation.results import Cost
from domainvl.evaluation.statistics.resampling import BootstrapSettings
from domainvl.evaluation.tile_sweep import sweep_table, sweep_tiles
from domainvl.schema import Sample

SampleMaker = Callable[..., Sample]
SETTINGS = BootstrapSettings(resamples=500)


def test_each_limit_is_compared_with_the_own_one(make_sample: SampleMaker) -> None:
    """With 1 tile nothing is right, with 6 half, with 12 all but the first sample's group."""
    samples = [make_sample(f"s{index:02d}", group=f"g{index:02d}") for index in range(20)]
    right = {1: set(), 6: set(range(10)), 12: set(range(1, 20))}

    def answer(given: Sequence[Sample], max_tiles: int) -> tuple[list[Prediction], Cost]:
        texts = ["lung" if index in right[max_tiles] else "heart" for index in range(len(given))]
        cost = Cost(device="cpu", seconds=max_tiles / 2, answers=20, visual_tokens=256 * 20 * max_tiles)
        return [Prediction(sample_id=one.id, text=text) for one, text in zip(given, texts, strict=True)], cost

    protocol = load_protocol("generic-vqa")
    sweep = sweep_tiles(protocol, select_samples(protocol, samples), (12, 1), 6, answer, SETTINGS)
    one, own, twelve = sweep.points
    assert [point.max_tiles for point in sweep.points] == [1, 6, 12]
    assert [point.score.value for point in sweep.points] == [0.0, 0.5, 0.95]
    assert (own.difference, own.p_holm, sweep.own) == (None, None, 6)
    assert one.difference is not None and twelve.difference is not None
    assert one.difference.value == pytest.approx(-0.5)
    assert one.difference.high < 0 < twelve.difference.low < 0.45 < twelve.difference.high
    assert twelve.difference.value == pytest.approx(0.45)
    # No resample of 500 says otherwise: the normal has 1 / 501 beyond 2.8788, which is 2.8059 of 20 groups, and
    # Student's t twice 0.00564; two tests.
    assert one.p_holm == pytest.approx(2 * 0.01128, abs=2e-5)
    table = sweep_table(sweep)
    assert "| 6 (own) |" in table
    assert "61,440" in table
    assert (sweep.n, sweep.groups) == (20, 20)


def test_refusals(make_sample: SampleMaker) -> None:
    protocol = load_protocol("generic-vqa")
    selection = select_samples(protocol, [make_sample("s")])
    cost = Cost(device="cpu", seconds=0.0, answers=0)
    with pytest.raises(UsageError, match=r"numbers from 1 on, got \[0\]"):
        sweep_tiles(protocol, selection, (0,), 6, lambda samples, limit: ([], cost), SETTINGS)
    with pytest.raises(DatasetError, match="1 missing"):
        sweep_tiles(protocol, selection, (1,), 6, lambda samples, limit: ([], cost), SETTINGS)


def test_a_headline_without_a_sample_is_nothing_to_compare_by(make_sample: SampleMaker) -> None:
    protocol = load_protocol("generic-vqa")
    other = protocol.model_copy(update={"headline": "none"})
    answers = [Prediction(sample_id="s", text="lung")]
    cost = Cost(device="cpu", seconds=0.0, answers=1)
    with pytest.raises(NothingToDoError, match="is about none"):
        sweep_tiles(other, select_samples(protocol, [make_sample("s")]), (1,), 6, lambda *_: (answers, cost), SETTINGS)
