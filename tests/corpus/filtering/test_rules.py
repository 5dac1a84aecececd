"""Each rule takes what it must, and each field's profile keeps what the field is made of."""

from __future__ import annotations

import functools
import re

import pytest
from corpus.filtering.rule_cases import CASES, FIELDS, URLS, make_document

from domainvl.corpus.filtering.deciding import Decision, decide
from domainvl.corpus.filtering.measuring import measure
from domainvl.corpus.filtering.profiles import PROFILES, Profile, load_profile, with_settings
from domainvl.corpus.filtering.removals import Level
from domainvl.corpus.filtering.rules import RULES
from domainvl.interleaved.documents import Document

GENERAL = load_profile("general")
KEPT = [(code, field) for code in RULES for field in FIELDS]


load = functools.cache(load_profile)


def apply(document: Document, profile: Profile) -> Decision:
    return decide(document, measure(document, profile), profile)


def only(*codes: str) -> Profile:
    """The general profile with these rules and no others."""
    return with_settings(GENERAL, [f"{code}={'on' if code in codes else 'off'}" for code in RULES])


@functools.cache
def alone(code: str) -> Profile:
    """The general profile with one rule, and the one that it follows."""
    return only(code, *(["hf-numbered-references"] if code == "hf-citation-marks" else []))


def test_each_rule_has_its_cases() -> None:
    assert CASES.keys() == RULES.keys()
    assert all(set(case.kept) == set(FIELDS) for case in CASES.values())


def test_published_sets_are_whole() -> None:
    """31 steps of the English filter by their place in its run.py, 15 Chinese rules, and which numbers are ours."""
    steps = {number for rule in RULES.values() for number in re.findall(r"EN (\d+)", rule.source)}
    assert steps == {str(number) for number in range(1, 32)}
    chinese = [rule for code, rule in RULES.items() if code.startswith("zh-")]
    assert len(chinese) == 15
    assert {rule.code for rule in chinese if not rule.is_ours} == {"zh-credit", "zh-duplicates"}
    assert {code for code, rule in RULES.items() if rule.is_ours and code[:3] != "zh-"} == {
        "omni-line-breaks",
        "omni-word-frequency",
    }


@pytest.mark.parametrize("code", RULES)
def test_a_rule_takes_what_it_must(code: str) -> None:
    decision = apply(make_document(CASES[code].dropped, URLS.get(code, "https://example.org/page")), alone(code))
    removals = [removal for removal in decision.removals if removal.rule == code]
    assert removals
    assert (decision.kept is None) == (RULES[code].level is Level.DOCUMENT)
    for removal in removals:
        below = removal.threshold is not None and removal.threshold == RULES[code].published.get("min")
        assert removal.threshold is None or (removal.value < removal.threshold) == below


@pytest.mark.parametrize(("code", "field"), KEPT)
def test_a_field_keeps_what_it_is_made_of(code: str, field: str) -> None:
    document = make_document(CASES[code].kept[field])
    decision = apply(document, load(field))
    assert decision.removals == ()
    assert decision.kept == document


@pytest.mark.parametrize("field", FIELDS)
def test_each_deviation_of_a_profile_has_a_text_that_needs_it(field: str) -> None:
    """Where a profile departs from the published rule, the published rule takes from the text that it keeps."""
    deviating = {code for code, changed in load(field).rules.items() if changed is not True}
    needless = []
    for code in sorted(deviating):
        published = alone(code)
        fields = [field] if code in own_deviations(field) else list(FIELDS)
        if not any(apply(make_document(CASES[code].kept[one]), published).removals for one in fields):
            needless.append(code)
    assert not needless


def own_deviations(field: str) -> set[str]:
    """The rules that a field's profile changes besides what it extends."""
    own, parent = load(field), load("technical")
    return {code for code, changed in own.rules.items() if parent.rules.get(code) != changed}


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_that_come_with_the_package_can_be_loaded(name: str) -> None:
    assert load(name).name == name
