"""What is drawn to be marked: by seed and id alone, the same whatever the order, every thing as likely as another."""

from __future__ import annotations

from collections import Counter

import pytest
from filtered_corpora import HERE, prose, write_filtered
from toy_corpora import document, image, write_corpus

from domainvl.corpus.auditing.things import draw_sample, find_things
from domainvl.corpus.filtering.filtered import FilteredCorpus
from domainvl.corpus.filtering.profiles import load_profile
from domainvl.corpus.filtering.removals import Level
from domainvl.corpus.filtering.step import filter_corpus


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = write_filtered(tmp_path_factory.mktemp("things") / "filtered", 30)
    return list(FilteredCorpus.open(folder).documents())


def test_strata_are_rules_and_what_was_kept_with_their_sizes(documents):
    strata = draw_sample(documents, sample=4, seed=0)
    assert [(one.level, one.rule, one.size) for one in strata] == [
        (Level.DOCUMENT, "gopher-words", 10),
        (Level.DOCUMENT, None, 20),
        (Level.PARAGRAPH, "hf-four-words", 20),
        (Level.PARAGRAPH, None, 40),
        (Level.IMAGE, "image-side", 20),
        (Level.IMAGE, None, 20),
    ]
    assert [len(one.things) for one in strata] == [4] * 6


def test_ids_are_of_one_thing_each(documents):
    names = [thing.id for filtered in documents for thing in find_things(filtered)]
    assert len(set(names)) == len(names) == 10 + 20 + 20 + 40 + 20 + 20


def test_the_order_of_the_corpus_does_not_matter(documents):
    assert draw_sample(documents[::-1], sample=4, seed=3) == draw_sample(documents, sample=4, seed=3)


def test_a_larger_sample_holds_the_smaller(documents):
    small, large = (draw_sample(documents, sample=size, seed=1) for size in (3, 7))
    for one, other in zip(small, large, strict=True):
        assert set(one.things) < set(other.things)


def test_every_thing_is_drawn_as_often_as_another(documents):
    drawn = Counter(
        thing.id
        for seed in range(60)
        for stratum in draw_sample(documents, sample=5, seed=seed)
        if stratum.rule == "hf-four-words"
        for thing in stratum.things
    )
    # 60 draws of 5 in 20: 15 times each, with a standard deviation of 3.4; five of those make 17.
    assert len(drawn) == 20
    assert all(1 <= count <= 32 for count in drawn.values())


def test_an_image_that_was_off_before_is_neither_kept_nor_removed(tmp_path):
    sizes = {"width_px": 300, "height_px": 200}
    pictures = [image("on", **sizes), image("off", valid=False, **sizes)]
    write_corpus(tmp_path / "plain", [document("a", prose(1), *pictures)], run=HERE)
    filter_corpus(tmp_path / "plain", tmp_path / "out", load_profile("general"), run=HERE)
    (one,) = FilteredCorpus.open(tmp_path / "out").documents()
    assert [thing.slot for thing in find_things(one) if thing.level is Level.IMAGE] == [1]


def test_a_removed_thing_says_what_was_measured(documents):
    stratum = next(one for one in draw_sample(documents, sample=50, seed=0) if one.rule == "hf-four-words")
    assert {(thing.value, thing.threshold, thing.excerpt) for thing in stratum.things} == {
        (4, 5, "No acute abnormality seen"),
        (3, 5, "Scan of chest"),
    }
