"""DriveLM's parts on a frame that the converter made: pixels, tags and the graph's gating."""

from __future__ import annotations

import pytest
from drivelm_files import LIGHT, SUV, Given, make_frame, make_scenes, pair, write_plain_images
from protocol_cases import value_of

from domainvl.errors import DatasetError
from domainvl.evaluation.facts import sample_facts
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.items import Item
from domainvl.evaluation.protocols.loading import choose_protocol
from domainvl.evaluation.protocols.rules_drivelm import score_accuracy, score_language, score_match
from domainvl.evaluation.protocols.scoring import score_protocol

FRAME = make_frame(
    perception=[
        pair("What is important?", f"{SUV} and {LIGHT}", tag=[3]),
        pair(f"Does {SUV} move?", "Yes", tag=[0]),
    ],
    prediction=[pair(f"Will {LIGHT} change?", "No", tag=[0, 2])],
    planning=[pair("What now?", "go on slowly then", tag=[2])],
)


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    """The samples of a frame, in the order of its graph."""
    plain = tmp_path_factory.mktemp("plain")
    write_plain_images(plain)
    _, samples, _ = Given(tmp_path_factory.mktemp("drivelm"), plain).convert(make_scenes(FRAME))
    return sorted(samples, key=lambda sample: sample.id)


def answered(samples, first=None):
    """Answer every question with what is true, in thousandths; the first as given."""
    said = [sample.turns[-1].text for sample in samples]
    said[0] = said[0] if first is None else first
    return [
        Item(sample, Prediction(sample_id=sample.id, text=text), sample_facts(sample))
        for sample, text in zip(samples, said, strict=True)
    ]


@pytest.mark.parametrize("as_published", [False, True])
def test_true_answers_score_fully_though_they_are_in_thousandths(frame, as_published):
    items = answered(frame)
    assert "[" in items[0].prediction.text, "the model's form, not the challenge's"
    accuracy = score_accuracy(items, as_published=as_published)
    match = score_match(items, as_published=as_published)
    assert value_of(accuracy.score) == 1
    assert value_of(match.score) == pytest.approx(1, abs=1e-6)
    assert value_of(score_language(items, measure="ROUGE-L", as_published=as_published).score) == pytest.approx(1)
    assert accuracy.counted.tolist() == accuracy.right.tolist() == [False, True, True, False]
    assert match.counted.tolist() == [True, False, False, False]
    assert accuracy.uncounted == match.uncounted == 0


def test_the_protocol_is_chosen_and_says_what_is_reached_without_a_judge(frame):
    items = answered(frame)
    protocol = choose_protocol(item.facts for item in items)
    assert protocol.name == "drivelm"
    values = {(line.variant, line.name): value_of(line.score) for line in score_protocol(protocol, items)}
    # accuracy and match F1 are 1
    assert values["strict", "points without judge"] == pytest.approx(0.3 + 0.2 * values["strict", "language"])
    assert values["as-published", "points without judge"] == pytest.approx(0.3 + 0.2 * values["strict", "language"])


def test_a_question_about_a_missed_object_is_gated_as_published_only(frame):
    """The first answer names the light alone; the SUV's question is then not scored by the challenge."""
    items = answered(frame, first="<c2,CAM_FRONT,[638,100]>")  # 1020.7 of 1600 and 90.4 of 900 px
    published, strict = score_accuracy(items, as_published=True), score_accuracy(items)
    assert published.counted.tolist() == [False, False, True, False]
    assert published.uncounted == 1
    assert strict.counted.tolist() == [False, True, True, False]
    assert strict.uncounted == 0
    # one of two true points: precision 1, recall 1/2
    assert value_of(score_match(items).score) == pytest.approx(2 / 3)


def test_a_frame_without_its_first_question_has_no_graph(frame):
    items = answered(frame)[1:]
    published = score_accuracy(items, as_published=True)
    assert not published.counted.any()
    assert published.uncounted == 2
    assert score_accuracy(items).counted.tolist() == [True, True, False]


def test_the_order_of_the_samples_does_not_matter(frame):
    items = answered(frame, first="<c2,CAM_FRONT,[638,100]>")
    assert score_accuracy(items[::-1], as_published=True).counted.tolist() == [False, True, False, False]


@pytest.mark.parametrize("said", ["", "<c2,CAM_FRONT,[638,100,7]>", "<c2,CAM_FRONT,[a,b]>", "<c2,CAM_FRONT,[0.6,0.1]>"])
def test_what_is_no_point_in_thousandths_hits_nothing(frame, said):
    items = answered(frame, first=said)
    for as_published in (False, True):
        assert value_of(score_match(items, as_published=as_published).score) == pytest.approx(0, abs=1e-6)


def changed(item, **told):
    """Change what DriveLM says of an item's question."""
    first, *others = item.sample.images
    details = first.source.details | {"drivelm": first.source.details["drivelm"] | told}
    source = first.source.model_copy(update={"details": details})
    images = (first.model_copy(update={"source": source}), *others)
    return Item(item.sample.model_copy(update={"images": images}), item.prediction, item.facts)


def test_a_true_answer_without_a_point_has_no_f1_but_in_the_challenge(frame):
    """Strict it is left out; the challenge gives 0 where there is nothing to hit, however right the answer."""
    *items, last = answered(frame)
    items.append(changed(last, tag=[3]))
    strict, published = score_match(items), score_match(items, as_published=True)
    assert (strict.counted.tolist(), strict.uncounted) == ([True, False, False, False], 1)
    assert (published.counted.tolist(), published.uncounted) == ([True, False, False, True], 0)
    assert value_of(strict.score) == pytest.approx(1)
    assert value_of(published.score) == pytest.approx(0.5, abs=1e-6)


def test_questions_without_tags_are_refused(frame):
    untagged = [changed(item, tag=[]) for item in answered(frame)]
    with pytest.raises(DatasetError, match="none of 4 has one. Convert with --challenge-subset"):
        score_accuracy(untagged)


def test_a_placeholder_is_no_true_answer(frame):
    items = answered(frame)
    items[1] = changed(items[1], answer=None)
    with pytest.raises(DatasetError, match="must have a published answer, it has a placeholder"):
        score_accuracy(items)


def test_samples_of_whole_graphs_and_of_other_data_sets_are_refused(make_sample, frame):
    sample = make_sample()
    with pytest.raises(DatasetError, match="in sample s: its first image must hold what DriveLM says"):
        score_match([Item(sample, Prediction(sample_id="s", text=""), {})])
    with pytest.raises(DatasetError, match="it ends a graph of several"):
        score_match([changed(answered(frame)[0], rounds=[])])
