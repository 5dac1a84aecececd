"""Reading protocols, naming what is wrong with one, and choosing one for a data set."""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter

import pytest
import yaml
from protocol_cases import make_case_sample

from domainvl.errors import InputNotFoundError, RecipeError, UsageError
from domainvl.evaluation.facts import sample_facts
from domainvl.evaluation.protocols.loading import choose_protocol, load_protocol, protocol_names, protocol_sha256
from domainvl.evaluation.protocols.rules import MODULES, RULES

WHOLE = {
    "name": "mine",
    "version": 1,
    "title": "Mine",
    "domain": "medical",
    "sources": ["me"],
    "columns": [{"name": "accuracy", "rule": "accuracy"}],
    "headline": "accuracy",
}


@pytest.fixture
def write(tmp_path):
    """Write a protocol with changes; returns its path."""

    def write(**changes):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(WHOLE | changes), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", protocol_names())
def test_a_packaged_protocol_can_be_read(name):
    protocol = load_protocol(name)
    assert protocol.name == name
    assert protocol.sources
    strict = {column.name for column in protocol.columns if column.variant == "strict"}
    published = [column for column in protocol.columns if column.variant == "as-published"]
    assert strict
    assert all(column.flaw for column in published), "what is as-published says its flaw"
    assert all(column.flaw is None for column in protocol.columns if column.variant == "strict")


def test_the_protocols_of_the_issue_are_there():
    assert set(protocol_names()) >= {
        "rsvqa-lr", "rsvqa-hr-test1", "rsvqa-hr-test2", "dior-rsvg", "vrsbench-grounding", "vrsbench-vqa",
        "scene-classification", "drivelm", "nuscenes-qa", "bdd-x", "mme-realworld-driving", "generic",
    }  # fmt: skip


def test_a_file_of_ones_own_is_read_by_its_path(write):
    path = write()
    assert load_protocol(path) == load_protocol(str(path))
    assert load_protocol(path).columns[0].rule == "accuracy"
    assert protocol_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_another_name_or_file_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(UsageError, match="there is none called 'rsvqa'.*rsvqa-hr-test1, rsvqa-hr-test2, rsvqa-lr"):
        load_protocol("rsvqa")
    with pytest.raises(InputNotFoundError, match="no such file"):
        load_protocol(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"version": "one"}, "version: Input should be a valid integer"),
        ({"version": "1"}, "version: Input should be a valid integer"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"columns": [{"name": "a", "rule": "accuracy", "thresh": 1}]}, "columns.0.thresh: Extra inputs"),
        ({"where": {"num_hop": 1}}, "where.num_hop.str: Input should be a valid string"),
        ({"columns": [{"name": "accuracy", "rule": "accurate"}]}, "columns.0.rule: there is no 'accurate'"),
        (
            {"columns": [{"name": "accuracy", "rule": "iou-accuracy", "settings": {"iou": 0.5}}]},
            "columns.0.settings.iou: Extra inputs are not permitted. iou-accuracy takes threshold",
        ),
        (
            {"columns": [{"name": "accuracy", "rule": "iou-accuracy", "settings": {"threshold": "half"}}]},
            "columns.0.settings.threshold: Input should be a valid number",
        ),
        (
            {"columns": [{"name": "accuracy", "rule": "vrsbench-boxes-as-published"}]},
            "columns.0.settings.threshold: Field required",
        ),
        (
            {"columns": [{"name": "accuracy", "rule": "bdd-x-full", "settings": {"measure": "BLEU-5"}}]},
            "columns.0.settings.measure: Input should be 'BLEU-4', 'ROUGE-L' or 'CIDEr'",
        ),
        ({"averages": [{"name": "m", "of": ["accuracy"], "kind": "mean"}]}, "averages.0.kind: there is no 'mean'"),
        ({"averages": [{"name": "m", "of": ["b"], "kind": "micro"}]}, "there is no ['b']"),
        (
            {
                "averages": [
                    {"name": "m", "of": ["n"], "kind": "macro"},
                    {"name": "n", "of": ["accuracy"], "kind": "macro"},
                ]
            },
            "m must be made of columns and earlier averages of its variant; there is no ['n']",
        ),
        ({"breakdown_of": "f1"}, "breakdown_of must name a strict column or average, got 'f1'"),
        ({"headline": "f1"}, "headline must name a strict column or average, got 'f1'"),
        ({"name": "yours"}, "name: it must be that of the file, got 'yours'"),
    ],
)
def test_a_mistake_is_named_with_file_key_and_rule(write, changes, rule):
    path = write(**changes)
    with pytest.raises(RecipeError) as raised:
        load_protocol(path)
    assert rule in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("text", ["- a", "a: [", "", "\xff"])
def test_what_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RecipeError, match="mine.yaml"):
        load_protocol(path)


def test_a_key_that_stands_twice_is_refused(write):
    path = write()
    path.write_text(path.read_text() + "headline: accuracy\n")
    with pytest.raises(RecipeError, match="mine.yaml: the key 'headline' stands twice in one section"):
        load_protocol(path)


def test_no_two_rules_have_one_name():
    counts = Counter(name for module in MODULES for name in module.RULES)
    assert {name for name, count in counts.items() if count > 1} == set()
    assert set(counts) == set(RULES)


@pytest.mark.parametrize("name", sorted(RULES))
def test_settings_of_a_rule_are_keywords(name):
    """The loader tells a misspelt setting by them; a rule with ``**settings`` would take any."""
    first, *settings = inspect.signature(RULES[name]).parameters.values()
    assert first.name == "items"
    assert {setting.kind for setting in settings} <= {inspect.Parameter.KEYWORD_ONLY}


def facts(sample_id="s", **told):
    told = {"answer": {"kind": "text", "text": "yes"}} | told
    return sample_facts(make_case_sample(sample_id, **told))


def test_a_benchmark_gets_its_protocol():
    presence = facts("rsvqa-lr/test/1", task="presence", converter="rsvqa", details={"question_type": "presence"})
    assert choose_protocol([presence]).name == "rsvqa-lr"
    boxes = {"answer": None, "boxes": [("ship", [0, 0, 9, 9])], "task": "grounding"}
    assert choose_protocol([facts(converter="dior-rsvg", **boxes)]).name == "dior-rsvg"


def test_two_test_sets_are_told_apart_by_their_facts():
    one, two = (
        facts(f"rsvqa-hr/{split}/1", converter="rsvqa", details={"question_type": "comp", "official_split": split})
        for split in ("test", "test_phili")
    )
    assert choose_protocol([two]).name == "rsvqa-hr-test2"
    with pytest.raises(UsageError, match="got rsvqa-hr-test1, rsvqa-hr-test2. Name one with --protocol"):
        choose_protocol([one, two])


def dior():
    return facts(converter="dior-rsvg", answer=None, boxes=[("ship", [0, 0, 9, 9])], task="grounding")


def test_a_few_samples_of_a_benchmark_choose_no_protocol_but_are_named():
    protocol = choose_protocol([dior(), *[facts()] * 99])
    assert protocol.name == "generic"
    assert protocol.notes[-1] == (
        "1 of 100 samples are of dior-rsvg, whose protocol scores these alone: name it with --protocol"
    )
    assert protocol.notes[:-1] == load_protocol("generic").notes


def test_a_few_other_samples_do_not_stand_in_the_way_of_a_benchmark():
    assert choose_protocol([*[dior()] * 95, *[facts()] * 5]).name == "dior-rsvg"
    assert choose_protocol([*[dior()] * 94, *[facts()] * 6]).name == "generic"
    stray = facts("rsvqa-lr/test/1", task="presence", converter="rsvqa", details={"question_type": "presence"})
    assert choose_protocol([*[dior()] * 99, stray]).name == "dior-rsvg"
    grounding = facts(converter="vrsbench", answer=None, boxes=[("ship", [0, 0, 9, 9])], task="grounding")
    assert choose_protocol([*[grounding] * 99, facts(converter="vrsbench")]).name == "vrsbench-grounding"


def test_what_a_benchmarks_own_data_set_has_besides_is_no_other_data_set():
    asked = facts(converter="slake")
    besides = facts(converter="slake", answer=None, boxes=[("lung", [0, 0, 9, 9])], task="grounding")
    assert choose_protocol([*[asked] * 5, *[besides] * 5]).name == "slake"
    assert choose_protocol([*[asked] * 4, *[besides] * 6]).name == "generic"


def test_mme_realworld_is_known_by_its_columns_whatever_the_converter():
    choice = {"kind": "choice", "options": ["a car", "a bus"], "correct": 0}
    told = {"task": "multiple-choice", "answer": choice, "details": {"Subtask": "Autonomous_Driving"}}
    assert choose_protocol([facts(converter="image-table", **told)]).name == "mme-realworld-driving"


def test_other_data_sets_get_the_generic_one_of_their_task_or_of_all():
    counted = facts(task="counting", answer={"kind": "count", "count": 1})
    assert choose_protocol([counted]).name == "generic-counting"
    assert choose_protocol([counted, facts()]).name == "generic"
    assert choose_protocol([facts(task="conversation")]).name == "generic"  # which has no protocol of its own
