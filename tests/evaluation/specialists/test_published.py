"""The published numbers: each is a line of its protocol, a share where that is one, and its own averages follow."""

from __future__ import annotations

import pytest

from domainvl.evaluation.protocols.loading import load_protocol, protocol_names
from domainvl.evaluation.specialists.published import Table, numbers_of, numbers_without_line, published_tables

TABLES = published_tables()  # read once: it takes a while
NUMBERS = {name: [number for table in tables for number in table.numbers()] for name, tables in TABLES.items()}
PROTOCOLS = sorted(TABLES)
NO_SHARES = {"speed RMSE", "turn RMSE"}
LR_COUNTS = {"presence": 2955, "comparison": 4002, "rural/urban": 100}
"""Of RSVQA-LR's test set (mini-internvl.md, section 5.2)."""


def values_of(protocol: str, model: str, **wanted: str) -> dict[str, float]:
    """Return a model's numbers by line, of those whose attributes begin as wanted."""
    return {
        number.name: number.value
        for number in NUMBERS[protocol]
        if number.model == model and all(getattr(number, key).startswith(value) for key, value in wanted.items())
    }


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_number_is_of_a_line_of_its_protocol_or_says_why_not(name):
    protocol = load_protocol(name)
    lines = {column.name for column in protocol.columns} | {average.name for average in protocol.averages}
    without = {column for table in TABLES[name] for column in table.without_line}
    assert not lines & without
    assert {number.name for number in NUMBERS[name]} <= lines | without


@pytest.mark.parametrize("name", PROTOCOLS)
def test_shares_lie_between_0_and_1(name):
    for number in NUMBERS[name]:
        top = 10.0 if "CIDEr" in number.name else 1.0
        assert 0 <= number.value <= top or number.name in NO_SHARES, number


def test_a_protocol_without_numbers_has_none():
    assert numbers_of("vqa-rad") == [] and numbers_without_line("vqa-rad") == {}
    assert numbers_of("dior-rsvg") == NUMBERS["dior-rsvg"]
    assert set(PROTOCOLS) < set(protocol_names())


def test_hundredths_become_shares_and_doubts_stay_with_their_number():
    (printed,) = [n for n in NUMBERS["rsvqa-lr"] if n.model == "Bi-Modal" and n.name == "comparison"]
    assert printed.value == 0.9266 and "91.16" in str(printed.doubt)
    (other,) = [n for n in NUMBERS["rsvqa-lr"] if n.model == "Bi-Modal" and n.name == "presence"]
    assert other.doubt is None
    assert values_of("bdd-x", "ADAPT")["description CIDEr"] == 2.1935
    assert values_of("bdd-x", "ADAPT")["turn RMSE"] == 11.98


def lr_models() -> list[str]:
    return sorted({n.model for n in NUMBERS["rsvqa-lr"] if n.model not in ("Bi-Modal", "SkyEyeGPT (single)")})


@pytest.mark.parametrize("model", lr_models())
def test_the_averages_of_rsvqa_lr_follow_from_their_parts(model):
    values = values_of("rsvqa-lr", model)
    parts = {name: values[name] for name in LR_COUNTS}
    micro = sum(parts[name] * count for name, count in LR_COUNTS.items()) / sum(LR_COUNTS.values())
    macro = sum(parts.values()) / len(parts)
    checked = 0
    for name, value in (("average", micro), ("macro average", macro)):
        if name in values:
            checked += 1
            assert values[name] == pytest.approx(value, abs=1.01e-4), name
    assert checked


def test_the_typing_error_of_bi_modal_is_what_its_average_says():
    values = values_of("rsvqa-lr", "Bi-Modal")
    corrected = (values["rural/urban"] + values["presence"] + 0.9116) / 3
    assert values["macro average"] == pytest.approx(corrected, abs=1e-4)


@pytest.mark.parametrize("name", ["rsvqa-hr-test1", "rsvqa-hr-test2"])
def test_macro_averages_of_rsvqa_hr_follow_and_micro_ones_lie_between_their_parts(name):
    for model in {number.model for number in NUMBERS[name]}:
        values = values_of(name, model)
        parts = values["presence"], values["comparison"]
        if "macro average" in values:
            assert values["macro average"] == pytest.approx(sum(parts) / 2, abs=1.01e-4), model
        if "average" in values:
            assert min(parts) <= values["average"] <= max(parts), model


def test_easytohards_doubtful_average_cannot_be():
    (number,) = [n for n in NUMBERS["rsvqa-hr-test1"] if n.model == "EasyToHard" and n.name.endswith("count and area")]
    parts = values_of("rsvqa-hr-test1", "EasyToHard")
    assert number.doubt
    # Even with count and area all right, the mean of four parts would be just above it only if both were above 0.97.
    assert number.value > max(parts["presence"], parts["comparison"])


@pytest.mark.parametrize(
    ("model", "perception_weight"),
    [
        ("InternVL2-76B", 0.732), ("Mini-InternVL-1B", 0.732), ("Mini-InternVL-2B", 0.732),
        ("Mini-InternVL-4B", 0.732), ("Mini-InternVL-DA-1B", 0.732), ("Mini-InternVL-DA-2B", 0.732),
        ("Mini-InternVL-DA-4B", 0.732), ("LLaVA-OneVision-7B", 0.657), ("Qwen2-VL-7B", 0.657),
        ("GPT-4o", 0.343), ("Claude 3.5 Sonnet", 0.343),
    ],
)  # fmt: skip
def test_the_averages_of_mme_realworld_weigh_their_parts_in_three_ways(model, perception_weight):
    numbers = {number.name: number for number in NUMBERS["mme-realworld-driving"] if number.model == model}
    mean = perception_weight * numbers["perception"].value + (1 - perception_weight) * numbers["reasoning"].value
    assert numbers["average"].value == pytest.approx(mean, abs=3e-4)
    assert (numbers["average"].doubt is None) == (perception_weight == 0.732)


@pytest.mark.parametrize("model", [n.model for n in NUMBERS["drivelm"] if n.name == "BLEU-1"])
def test_drivelms_final_scores_follow_from_their_parts(model):
    values = values_of("drivelm", model, source="Mini-InternVL")
    bleu = sum(values[f"BLEU-{n}"] for n in range(1, 5)) / 4
    language = (bleu + values["ROUGE-L"] + values["CIDEr"] / 10) / 3
    final = 0.4 * values["GPT score"] + 0.2 * (language + values["match"] + values["accuracy"])
    # MTMM's parts are printed with two digits.
    assert values["final"] == pytest.approx(final, abs=3e-4 if model == "MTMM" else 1e-4)


def test_a_row_must_have_a_value_a_column():
    table = {"source": "s", "split": "test", "metric": "m", "columns": ["a", "b"]}
    with pytest.raises(ValueError, match="must have 2 values, got 1"):
        Table(**table, rows=[{"model": "x", "kind": "general", "values": [1]}])
    with pytest.raises(ValueError, match="doubts of x must be about columns"):
        Table(**table, rows=[{"model": "x", "kind": "general", "values": [1, 2], "doubts": {"c": "?"}}])
