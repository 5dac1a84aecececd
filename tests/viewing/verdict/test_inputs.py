"""Which evaluations may stand on one page."""

from __future__ import annotations

import pytest
from synthetic_results import synthetic_results

from domainvl.errors import InputNotFoundError, UsageError
from domainvl.evaluation.results import write_results
from domainvl.viewing.verdict.inputs import ReportInput, read_evaluations


def put(folder, **changes):
    folder.mkdir()
    write_results(folder / "scores.json", synthetic_results(**changes))
    return folder


def test_one_evaluation_is_read_as_it_is(tmp_path):
    found = read_evaluations([put(tmp_path / "a"), ReportInput(put(tmp_path / "g", title="General"), "general")])
    assert found.folders == (tmp_path / "a",)
    assert found.verdict == synthetic_results()
    assert found.general is not None
    assert found.general.title == "General"


@pytest.mark.parametrize("roles", [[], ["general"], ["verdict", "general", "general"]])
def test_it_takes_evaluations_and_at_most_one_general_set(tmp_path, roles):
    inputs = [ReportInput(put(tmp_path / str(index)), role) for index, role in enumerate(roles)]
    with pytest.raises(UsageError, match="at most one of a general set"):
        read_evaluations(inputs)


def test_a_folder_without_results(tmp_path):
    with pytest.raises(InputNotFoundError, match="there is no such file"):
        read_evaluations([tmp_path])


@pytest.mark.parametrize("change", ["sha256", "protocol"])
def test_other_data_or_another_protocol_is_refused_with_both_values(tmp_path, change):
    results = synthetic_results()
    other = {
        "sha256": {"data": results.data.model_copy(update={"sha256": "1" * 64})},
        "protocol": {"protocol": "vqa-rad"},
    }[change]
    said = {"sha256": "0{8}.* and .*1{8}", "protocol": "generic.* and .*vqa-rad"}[change]
    with pytest.raises(UsageError, match=said):
        read_evaluations([put(tmp_path / "a"), put(tmp_path / "b", **other)])
