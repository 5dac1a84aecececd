"""Cut-offs that fit marks: those that known marks ask for, and a profile with them that filters accordingly."""

from __future__ import annotations

import pytest
from filtered_corpora import HERE, prose, write_filtered
from toy_corpora import document, write_corpus

from domainvl.corpus.auditing.proposing import propose, with_bound, write_profile
from domainvl.corpus.auditing.things import Marked, draw_sample
from domainvl.corpus.filtering.filtered import FilteredCorpus
from domainvl.corpus.filtering.profiles import load_profile, with_settings
from domainvl.corpus.filtering.step import filter_corpus
from domainvl.corpus.folder import Corpus
from domainvl.errors import UsageError

RULE = "hf-four-words"


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    return FilteredCorpus.open(write_filtered(tmp_path_factory.mktemp("proposing") / "filtered", 30))


def mark_all(corpus, judge, sample=100):
    strata = draw_sample(corpus.documents(), sample=sample, seed=0)
    return strata, [
        Marked(thing, keep, "" if keep or thing.rule else RULE)
        for stratum in strata
        for thing in stratum.things
        if (keep := judge(thing)) is not None
    ]


def proposal(corpus, judge, *, sample=100, min_marks=1):
    strata, marked = mark_all(corpus, judge, sample)
    found = propose(corpus.profile, strata, marked, corpus.documents(), min_marks=min_marks)
    return next((one for one in found if one.rule == RULE), None)


def four_words_are_right(thing):
    return thing.value == 4 if thing.rule == RULE else None if thing.rule else True


def test_marks_that_keep_four_words_and_drop_three_ask_for_three_and_a_half(filtered):
    # Ten items have four words, ten three; all else that was kept has five or more.
    one = proposal(filtered, four_words_are_right)
    assert (one.used, one.proposed, one.marks) == (5, 3.5, 60)
    assert (one.errors_used, one.errors_proposed) == (10, 0)


def test_what_a_smaller_sample_stands_for_is_weighed(filtered):
    # All of the four that were drawn of twenty should have been kept: five things stand behind each.
    one = proposal(filtered, lambda thing: True if thing.rule == RULE else None, sample=4)
    assert (one.errors_used, one.errors_proposed, one.marks) == (20, 0, 4)
    assert one.proposed in (3, 4)


def test_kept_things_marked_as_missed_ask_for_a_stricter_bound(filtered):
    # Twenty items of five words were kept; the other kept paragraphs have 80 words and more.
    one = proposal(filtered, lambda thing: thing.level != "paragraph" or thing.excerpt.startswith("In the early"))
    assert one.proposed > 5
    assert (one.errors_used, one.errors_proposed) == (20, 0)


def test_right_marks_leave_the_bound_as_it_is(filtered):
    one = proposal(filtered, lambda thing: thing.rule is None)
    assert not one.is_change
    assert (one.errors_used, one.proposed) == (0, 5)


def test_nothing_is_proposed_by_few_marks(filtered):
    assert proposal(filtered, four_words_are_right, min_marks=60) is not None
    assert proposal(filtered, four_words_are_right, min_marks=61) is None


def test_another_reason_to_drop_says_nothing_of_a_rule(filtered):
    strata, marked = mark_all(filtered, four_words_are_right)
    others = [Marked(one.thing, False, "boring") if one.thing.rule is None else one for one in marked]
    (one,) = propose(filtered.profile, strata, others, filtered.documents(), min_marks=1)
    assert one.marks == 20


def test_a_written_profile_filters_as_it_says(filtered, tmp_path):
    strata, marked = mark_all(filtered, four_words_are_right)
    proposals = propose(filtered.profile, strata, marked, filtered.documents(), min_marks=1)
    write_profile(tmp_path / "new.yaml", filtered.profile, proposals)
    profile = load_profile(tmp_path / "new.yaml")
    assert profile.thresholds == {**filtered.profile.thresholds, RULE: {"min": 3.5}}
    assert profile.measuring_key == filtered.profile.measuring_key
    filter_corpus(filtered.corpus.folder, tmp_path / "out", profile, run=HERE)
    texts = {slot.text for one in Corpus.open(tmp_path / "out").documents() for slot in one.texts}
    assert "No acute abnormality seen" in texts
    assert "Scan of chest" not in texts


def test_nothing_is_written_over(filtered, tmp_path):
    (tmp_path / "new-flagged-words.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        write_profile(tmp_path / "new.yaml", filtered.profile, [])


def test_scores_have_cut_offs_too(tmp_path):
    profile = load_profile("general").model_validate(
        {**load_profile("general").model_dump(), "scores": {"fluency_prob": {"min": 0.5}}}
    )
    changed = with_bound(profile, "score-fluency_prob", "min", 0.25)
    assert changed.thresholds["score-fluency_prob"] == {"min": 0.25}
    assert profile.thresholds["score-fluency_prob"] == {"min": 0.5}
    write_profile(tmp_path / "new.yaml", changed, [])
    assert load_profile(tmp_path / "new.yaml").scores == changed.scores


def test_of_a_rule_with_two_bounds_each_is_judged_by_what_broke_it(tmp_path):
    long = [document(f"long-{number}", prose(number)) for number in range(3)]  # 80 words and more
    between = document("between", " ".join(prose(7).split()[:55]) + ".")
    write_corpus(tmp_path / "plain", [document("few", "The one of that."), *long, between], run=HERE)
    profile = with_settings(load_profile("general"), ["gopher-words.max=60", "c4-sentences=off"])
    filter_corpus(tmp_path / "plain", tmp_path / "out", profile, run=HERE)
    corpus = FilteredCorpus.open(tmp_path / "out")
    strata = draw_sample(corpus.documents(), sample=10, seed=0)
    marked = [Marked(thing, thing.document != "few", "") for stratum in strata for thing in stratum.things]
    found = propose(corpus.profile, strata, marked, corpus.documents(), min_marks=1)
    bounds = {one.bound: one for one in found if one.rule == "gopher-words"}
    assert not bounds["min"].is_change
    assert bounds["max"].proposed > 80
    assert (bounds["max"].errors_used, bounds["max"].errors_proposed) == (3, 0)
