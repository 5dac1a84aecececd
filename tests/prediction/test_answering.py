"""A checkpoint that answers, and what a result says of it."""

from __future__ import annotations

import json
import shutil

import pytest

from domainvl.errors import CheckpointError
from domainvl.model.checkpoint import hash_weights
from domainvl.prediction.answering import AnsweringSettings, CheckpointModel
from domainvl.schema import Split, read_samples


def test_answers_come_in_order_and_do_not_depend_on_the_batch(untrained, squares):
    samples = list(read_samples(squares, Split.TEST))[:9]
    one, many = (
        CheckpointModel(str(untrained), AnsweringSettings("cpu", size, 8)).answer(samples, squares) for size in (1, 32)
    )
    assert [answer.sample_id for answer in one] == [sample.id for sample in samples]
    assert [(a.sample_id, a.text, round(a.likelihood, 3)) for a in one] == [
        (a.sample_id, a.text, round(a.likelihood, 3)) for a in many
    ]


def test_a_result_names_the_model_without_a_path(untrained):
    record = CheckpointModel(str(untrained)).identity.record()
    assert record["name"] == untrained.name
    assert record["weights_sha256"] == hash_weights(untrained)
    assert str(untrained.parent) not in json.dumps(record)
    assert "base" not in record


@pytest.mark.parametrize(("name", "value"), [("coordinate_space", "0-1"), ("wording", "other-1")])
def test_a_model_that_reads_or_writes_otherwise_is_refused(untrained, tmp_path, name, value):
    folder = shutil.copytree(untrained, tmp_path / "other")
    spec = json.loads((folder / "domainvl.json").read_bytes())
    spec["preprocessing"][name] = value
    (folder / "domainvl.json").write_text(json.dumps(spec))
    with pytest.raises(CheckpointError, match=f"got {value}"):
        CheckpointModel(str(folder))
