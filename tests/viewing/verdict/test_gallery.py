"""Which answers are shown, and what is drawn on them."""

from __future__ import annotations

import base64
import io
from collections import Counter

import pytest
from PIL import Image as PillowImage
from synthetic_results import ADAPTED, BASE, MAJORITY, VILT, answer_text, write_evaluation

from domainvl.evaluation.predictions import Prediction, write_predictions
from domainvl.schema import Split, read_samples
from domainvl.viewing.verdict.gallery import LOST, NOT_JUDGED, RIGHT, WON, WRONG, build_gallery


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    return write_evaluation(folder / "scores", folder / "data"), folder


def test_outcomes_are_those_of_the_answers(evaluated):
    results, folder = evaluated
    gallery = build_gallery(results, [folder / "scores"], None)
    samples = list(read_samples(folder / "data", Split.TEST))
    # By the definition of the answers: number + 2 * system in 7 below 1 (the first system) or 3 (the others).
    expected = Counter()
    for sample in samples:
        number = int(sample.id.split("/")[1])
        own = (number % 7) >= 1
        others = [(number + 2 * system) % 7 >= 3 for system in (1, 2, 3)]  # not the baseline
        if own:
            expected[WON if not all(others) else RIGHT] += 1
        else:
            expected[LOST if any(others) else WRONG] += 1
    assert {key: number for key, number in gallery.available.items() if number} == expected
    for card in gallery.cards:
        number = int(card.sample.id.split("/")[1])
        assert [one.system for one in card.given] == [system.name for system in results.systems]
        wanted = [(number + 2 * system) % 7 >= (3 if system else 1) for system in range(5)]
        assert [one.right for one in card.given] == wanted
        assert [one.text for one in card.given] == [answer_text(card.sample, system) for system in range(5)]


def test_the_choice_is_even_over_outcomes_and_lines_and_always_the_same(evaluated):
    results, folder = evaluated
    gallery = build_gallery(results, [folder / "scores"], None, limit=12)
    chosen = Counter((card.outcome, card.line) for card in gallery.cards)
    assert chosen == {
        (outcome, line): 2
        for outcome in (LOST, WON)
        for line in ("presence accuracy", "counting accuracy", "grounding accuracy")
    }
    again = build_gallery(results, [folder / "scores"], None, limit=12)
    assert [card.sample.id for card in again.cards] == [card.sample.id for card in gallery.cards]


def test_truth_and_answer_are_drawn_where_they_are(evaluated):
    results, folder = evaluated
    cards = build_gallery(results, [folder / "scores"], None).cards
    grounding = [card for card in cards if card.sample.id.startswith("grounding")]
    assert {card.outcome for card in grounding} == {LOST, WON}
    for card in grounding:
        ((image),) = card.images
        (truth,) = image.shown.objects
        assert truth.is_answer
        (answer,) = image.answers
        shift = 50 if card.outcome == LOST else 4
        assert answer.box_px[0] == pytest.approx(truth.thing.box_px[0] + shift, abs=0.4)  # a thousandth of 320 px
        assert answer.agrees == (card.outcome != LOST)
        # Boxes of 64 px, one moved by 4: 60 of 68 px are shared.
        if card.outcome != LOST:
            assert float(answer.label.text.split()[-1]) == pytest.approx(60 / 68, abs=0.02)
    counting = next(card for card in cards if card.sample.id.startswith("counting"))
    assert counting.images[0].shown.objects == counting.images[0].answers == ()


def test_images_are_made_small(evaluated):
    results, folder = evaluated
    image = build_gallery(results, [folder / "scores"], None, limit=1).cards[0].images[0]
    with PillowImage.open(io.BytesIO(base64.b64decode(image.uri.split(",")[1]))) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (320, 240)


def test_an_image_that_is_gone_is_said(tmp_path):
    results = write_evaluation(tmp_path / "scores", tmp_path / "data")
    for file in (tmp_path / "data" / "images").rglob("*.png"):
        file.unlink()
    image = build_gallery(results, [tmp_path / "scores"], None, limit=1).cards[0].images[0]
    assert (image.uri, image.file.problem) == (None, "there is no such file")


def test_another_data_set_is_not_shown(tmp_path):
    results = write_evaluation(tmp_path / "scores", tmp_path / "data")
    with (tmp_path / "data" / "test.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n")
    assert "is not the one that was scored" in build_gallery(results, [tmp_path / "scores"], None).problem


def test_answers_that_are_gone_are_said_and_the_others_shown(tmp_path):
    results = write_evaluation(tmp_path / "scores", tmp_path / "data")
    (tmp_path / "scores" / f"{VILT}.jsonl").unlink()
    gallery = build_gallery(results, [tmp_path / "scores"], None)
    assert gallery.unread == (VILT,)
    assert VILT not in {one.system for card in gallery.cards for one in card.given}
    (tmp_path / "scores" / f"{ADAPTED}.jsonl").unlink()
    assert build_gallery(results, [tmp_path / "scores"], None).problem == (
        "the answers of the first system cannot be read"
    )


def test_only_samples_that_were_asked(tmp_path):
    results = write_evaluation(tmp_path / "scores", tmp_path / "data")
    samples = list(read_samples(tmp_path / "data", Split.TEST))[:5]
    few = [Prediction(sample_id=sample.id, text=answer_text(sample, 0)) for sample in samples]
    write_predictions(tmp_path / "scores" / f"{ADAPTED}.jsonl", few)
    gallery = build_gallery(results, [tmp_path / "scores"], None)
    assert {card.sample.id for card in gallery.cards} == {sample.id for sample in samples}


def test_against_baselines_alone_they_are_the_rivals(tmp_path):
    results = write_evaluation(tmp_path / "scores", tmp_path / "data")
    two = tuple(system for system in results.systems if system.name in (ADAPTED, MAJORITY))
    gallery = build_gallery(results.model_copy(update={"systems": two}), [tmp_path / "scores"], None)
    assert gallery.available[WON] == sum(
        int(sample.id.split("/")[1]) % 7 >= 1 and answer_text(sample, 4) != answer_text(sample, 0)
        for sample in read_samples(tmp_path / "data", Split.TEST)
    )
    assert gallery.available[NOT_JUDGED] == 0


def test_what_only_a_baseline_gets_right_is_lost_to_nobody(tmp_path):
    results = write_evaluation(tmp_path / "scores", tmp_path / "data")
    three = tuple(system for system in results.systems if system.name in (ADAPTED, BASE, MAJORITY))
    samples = list(read_samples(tmp_path / "data", Split.TEST))
    for name in (ADAPTED, BASE):
        silent = [Prediction(sample_id=sample.id, text="") for sample in samples]
        write_predictions(tmp_path / "scores" / f"{name}.jsonl", silent)
    gallery = build_gallery(results.model_copy(update={"systems": three}), [tmp_path / "scores"], None)
    assert {outcome: number for outcome, number in gallery.available.items() if number} == {WRONG: len(samples)}
    assert any(card.given[2].right for card in gallery.cards)


def test_of_several_folders_each_system_has_its_own_answers(tmp_path):
    results = write_evaluation(tmp_path / "one", tmp_path / "data")
    write_evaluation(tmp_path / "two", tmp_path / "data")
    samples = list(read_samples(tmp_path / "data", Split.TEST))
    silent = [Prediction(sample_id=sample.id, text="") for sample in samples]
    write_predictions(tmp_path / "two" / f"{BASE}.jsonl", silent)
    named = [
        results.systems[0].model_copy(update={"name": f"one: {ADAPTED}"}),
        results.systems[1].model_copy(update={"name": f"two: {BASE}"}),
    ]
    gallery = build_gallery(
        results.model_copy(update={"systems": tuple(named)}), [tmp_path / "one", tmp_path / "two"], None
    )
    for card in gallery.cards:
        assert [one.text for one in card.given] == [answer_text(card.sample, 0), ""]
