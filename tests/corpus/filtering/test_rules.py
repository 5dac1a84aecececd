"""Each rule takes what it must, and each field's profile keeps what the field is made of."""

from __future__ import annotations

import functools
import re

import pytest
from corpus.filtering.rule_cases import CASES, CHINESE, FIELDS, LONG, URLS, make_document

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
    assert all(rule.is_ours for rule in chinese)
    assert {rule.code for rule in chinese if rule.false_positive_rate is not None} == {"zh-credit", "zh-duplicates"}
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


def left(*slots: str | tuple[str, str], profile: Profile = GENERAL) -> list[str]:
    kept = apply(make_document(slots), profile).kept
    return [] if kept is None else [slot.text for slot in kept.texts]


SHORT = "Very short words here"
LINES = {
    "hf-one-word": "House",
    "hf-two-words": "Old house",
    "hf-four-words": SHORT,
    "hf-characters": "Old one",
    "hf-uppercase": "THE OLD HOUSE BY THE RIVER",
    "hf-digits": "123456 7890",
    "hf-date-time": "Open from 10:30 until 17:15 on most of our days",
    "hf-read-more": "More of the house: read more",
    "hf-social-ending": "The houses and their reviews",
}


@pytest.mark.parametrize("kind", ["h2", "list", "table", "code"])
@pytest.mark.parametrize("code", LINES)
def test_rules_on_paragraphs_leave_headings_and_items(code: str, kind: str) -> None:
    """filters.py looks for them in <p> and <lb> alone; <head>, <item> and <cell> are other elements."""
    assert left(LINES[code], *LONG, profile=only(code)) == LONG
    assert left((kind, LINES[code]), *LONG, profile=only(code)) == [LINES[code], *LONG]


def test_a_short_caption_is_kept() -> None:
    captions = [("caption", "Fig. 54."), ("caption", "House"), ("caption", SHORT)]
    assert left(*captions, *LONG) == ["Fig. 54.", "House", SHORT, *LONG]


def test_short_paragraphs_are_judged_without_headings_and_items() -> None:
    """filters.py:803 takes the mean over <p> and <lb>; a document without any is dropped."""
    text = " ".join(["house"] * 13)
    items = [("list", f"Item {number}") for number in range(20)]
    assert left(text, *items, profile=only("hf-short-paragraphs")) == [text, *(item for _, item in items)]
    assert left(*items, profile=only("hf-short-paragraphs")) == []


@pytest.mark.parametrize(("text", "kept"), [("The the the the house.", False), ("The house of it.", True)])
def test_two_different_stop_words_are_asked_for(text: str, kept: bool) -> None:
    """Gopher: at least two of the eight; datatrove counts their set."""
    assert bool(left(text, profile=only("gopher-stop-words"))) is kept


@pytest.mark.parametrize(("text", "kept"), [("A smile :} is here.", True), ("A set { is here.", False)])
def test_the_opening_curly_bracket_drops(text: str, kept: bool) -> None:
    assert bool(left(text, profile=only("c4-curly-bracket"))) is kept


@pytest.mark.parametrize("end", [".[1]", ".[12][3]", ".[edit]", ".[citation needed]", ".[]"])
def test_citations_do_not_hide_the_end_of_a_line(end: str) -> None:
    """c4_utils.py takes them away before it looks for the mark."""
    profile = only("c4-terminal-punctuation")
    assert left(f"It is old{end}", "It is [1]", "It is old...[1]", profile=profile) == [f"It is old{end}"]


def test_headings_and_items_are_no_sentences() -> None:
    profile = only("c4-sentences")
    items = [("list", "One of them"), ("h2", "Two of them")] * 5
    assert left("One. Two. Three. Four.", *items, profile=profile) == []
    assert left("One. Two. Three. Four. Five.", *items, profile=profile) != []
    assert left(*["It is old.[1]"] * 5, profile=profile) != []


@pytest.mark.parametrize("field", FIELDS)
def test_fields_drop_what_no_field_is_made_of(field: str) -> None:
    """Each alone, since a page of a field may have any of them."""
    for rubbish in (
        ["We use cookies to improve your visit.", "See our privacy policy."],
        ["xxx porn hentai free porn videos xxx"],
        ["Lorem ipsum dolor sit amet."],
        ["Advertisement"],
        ["More houses: click here"],
        ["Buy cheap pills online now."] * 50,
        ["QUJD" * 400],
    ):
        assert left(*rubbish, profile=load(field)) == []


def test_chinese_headings_and_captions_may_be_short() -> None:
    profile = only("zh-short", "zh-digits")
    assert left("结论", "12345 67890", CHINESE, profile=profile) == [CHINESE]
    slots = [("h2", "结论"), ("caption", "图一"), ("table", "12345 67890"), CHINESE]
    assert left(*slots, profile=profile) == ["结论", "图一", "12345 67890", CHINESE]
