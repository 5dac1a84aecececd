"""BLEU, ROUGE-L and CIDEr, by hand and against the COCO caption scorer."""

from __future__ import annotations

import math
import random
import shutil

import numpy as np
import pytest

from domainvl.evaluation.metrics.captions import (
    bleu_score,
    bleu_scores,
    cider_score,
    rouge_l_score,
    tokenize,
)
from domainvl.evaluation.statistics.scores import SumScore


def total(score: SumScore) -> float:
    return float(score.combine(score.terms.sum(axis=0)))


def items(score: SumScore) -> list[float]:
    return [float(value) for value in score.combine(score.terms)]


def words(*texts: str):
    return [tuple(text.split()) for text in texts]


def random_corpus(seed: int, shortest: int):
    rng = random.Random(seed)
    vocabulary = "a the car dog is on left right red stop".split()

    def text(least):
        return tuple(rng.choice(vocabulary) for _ in range(rng.randint(least, 12)))

    candidates = [text(shortest) for _ in range(50)]
    return candidates, [[text(1) for _ in range(rng.randint(1, 4))] for _ in candidates]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The car's driver doesn't turn (left) - it cannot stop; OK?",
         "the car 's driver does n't turn -lrb- left -rrb- it can not stop ok"),
        ("A man, 2.5 m/s and 1,000 cars: 50% of $3.", "a man 2.5 m/s and 1,000 cars 50 % of $ 3"),
        ("<c1,CAM_FRONT,1043.2,82.2> is a car moving.", "< c1 cam_front ,1043.2,82.2 > is a car moving"),
        ("left-hand side and/or right--now...", "left-hand side and/or right now"),
        ("the U.S. route e.g. at 10:30 a.m.", "the u.s. route e.g. at 10:30 a.m."),
        ("gonna 'quoted' #1 [0,1] {a}", "gon na quoted # 1 -lsb- 0,1 -rsb- -lcb- a -rcb-"),
        ("The T-junction's 3rd lane; cars' lights. They'll", "the t-junction 's 3rd lane cars lights they 'll"),
        ("Café – dash — em … it’s “hi”", "café dash em it 's hi"),
        ("5mm nodule, 2.5cm x 1.7cm", "5mm nodule 2.5 cm x 1.7 cm"),
        ("-5.2 degrees +3 1/2 3-4 12.", "-5.2 degrees +3 1/2 3-4 12"),
        ("a & b * c = d", "a & b * c = d"),
        ("What?? Why?", "what ?? why"),
        (" \n ", ""),
    ],
)  # fmt: skip
def test_words_are_those_that_the_penn_treebank_tokenizer_makes(text, expected):
    # Expected values: PTBTokenizer of pycocoevalcap 1.2.
    assert " ".join(tokenize(text)) == expected


@pytest.mark.slow
def test_words_agree_with_the_tokenizer_of_java():
    ptb = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
    if shutil.which("java") is None:
        pytest.skip("there is no Java")
    rng = random.Random(3)
    pieces = "A car, the dog's; isn't 3.5 m/s (left) 12% left-hand stop. why? U.S. 1,000 of: can't 5mm we're".split()
    texts = [" ".join(rng.choices(pieces, k=rng.randint(1, 12))) for _ in range(300)]
    expected = ptb.PTBTokenizer().tokenize({index: [{"caption": text}] for index, text in enumerate(texts)})

    assert [" ".join(tokenize(text)) for text in texts] == [expected[index][0] for index in range(len(texts))]


def test_bleu_by_hand():
    # Papineni et al. 2002, example 2: only two of seven "the" are allowed.
    the = bleu_score(words("the the the the the the the"), [words("the cat is on the mat", "there is a cat")], 1)
    assert total(the) == pytest.approx(2 / 7, abs=1e-8)

    # "a b c d" of "a b c e": 3 of 4 words, 2 of 3 pairs, 1 of 2 triples, equal lengths.
    scores = bleu_scores(words("a b c d"), [words("a b c e")], 3)
    assert [total(score) for score in scores] == pytest.approx(
        [3 / 4, math.sqrt(3 / 4 * 2 / 3), (3 / 4 * 2 / 3 * 1 / 2) ** (1 / 3)], abs=1e-8
    )


def test_bleu_sums_counts_over_items_and_is_no_mean_of_items():
    score = bleu_score(words("a b", "c c c c c c"), [words("a b"), words("d d d d d d")], 1)
    assert total(score) == pytest.approx(2 / 8, abs=1e-8)
    assert items(score) == pytest.approx([1.0, 0.0], abs=1e-8)


def test_bleu_takes_the_nearest_reference_for_its_penalty_the_shorter_of_two():
    # Lengths 1 and 5 are equally near to 3: the shorter makes no penalty. With 4 against 8: exp(1 - 4/3).
    near = bleu_score(words("a b c"), [words("a", "a b c d e")], 1)
    assert total(near) == pytest.approx(1.0, abs=1e-8)
    far = bleu_score(words("a b c"), [words("a b c d", "a b c d e f g h")], 1)
    assert total(far) == pytest.approx(math.exp(1 - 4 / 3), abs=1e-8)


def test_an_empty_answer_adds_nothing_but_makes_the_answers_too_short():
    score = bleu_score([("a",), ()], [words("a"), words("b")], 1)
    assert total(score) == pytest.approx(math.exp(1 - 2 / 1), abs=1e-8)
    assert items(score)[1] == pytest.approx(0.0, abs=1e-8)
    assert items(rouge_l_score([()], [words("b")])) == [0.0]
    assert items(cider_score([(), ("c",)], [words("b"), words("c")]))[0] == 0.0


def test_bleu_of_no_item_is_none():
    score = bleu_score([("a",)], [words("a")])
    assert math.isnan(float(score.combine(np.zeros(score.terms.shape[1]))))


def test_rouge_l_by_hand():
    # "police kill the gunman" against "police killed the gunman": three words in order of four (Lin 2004, section 3.1).
    assert items(rouge_l_score(words("police kill the gunman"), [words("police killed the gunman")])) == [0.75]
    # Two in order ("the gunman" or "police"?): "the gunman kill police" shares "the gunman" only.
    assert items(rouge_l_score(words("the gunman kill police"), [words("police killed the gunman")])) == [0.5]
    # Precision 2/2 from "a b c d", recall 1/1 from "b": both 1, from different references.
    assert items(rouge_l_score(words("a b"), [words("a b c d", "b")])) == pytest.approx([1.0])
    # Precision 1, recall 1/4.
    expected = (1 + 1.44) * 0.25 / (0.25 + 1.44)
    assert items(rouge_l_score(words("a"), [words("a b c d")])) == pytest.approx([expected])


def test_cider_by_hand():
    # Two items whose references share nothing: each run of words weighs log 2. Item 1: "a b" of "a c".
    # One word of two is shared: cosine 1/2; no pair; no longer run. Mean over 4 orders, times 10.
    score = cider_score(words("a b", "x y z w"), [words("a c"), words("x y z w")])
    assert items(score) == pytest.approx([10 * 0.5 / 4, 10.0])
    assert total(score) == pytest.approx((1.25 + 10) / 2)


def test_cider_gives_nothing_for_words_of_every_reference_and_clips_repeated_ones():
    # "the" stands in both references and weighs nothing.
    assert items(cider_score(words("the", "q"), [words("the a"), words("the b")]))[0] == 0.0
    # "a a a" against "a": clipped to 1 of norm 3 times 1; two words more make exp(-4/72).
    repeated = items(cider_score(words("a a a", "b"), [words("a"), words("b")]))[0]
    assert repeated == pytest.approx(10 / 4 / 3 * math.exp(-4 / 72))


def test_values_are_those_of_the_coco_caption_scorer():
    # Expected values: Bleu, Rouge and Cider of pycocoevalcap 1.2, so that this runs without it.
    candidates = words("a red car turns left", "the car stops at the light", "a dog")
    references = [
        words("the red car is turning left", "a car turns left"),
        words("the car stops because the light is red"),
        words("two dogs run", "a dog runs on the grass", "a dog"),
    ]
    expected = [0.854733303231, 0.744321731437, 0.52724851095, 7.2180054e-05, 0.867803409663, 2.960396099071]
    found = [*bleu_scores(candidates, references), rouge_l_score(candidates, references)]
    assert [total(score) for score in found] == pytest.approx(expected[:5], abs=1e-9)
    assert total(cider_score(candidates, references)) == pytest.approx(expected[5], abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_the_coco_caption_scorer_on_random_text(seed):
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu")
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge")
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    candidates, references = random_corpus(seed, shortest=seed % 2)
    truth = {index: [" ".join(text) for text in texts] for index, texts in enumerate(references)}
    said = {index: [" ".join(text)] for index, text in enumerate(candidates)}

    expected, _ = bleu.Bleu(4).compute_score(truth, said, verbose=0)
    assert [total(score) for score in bleu_scores(candidates, references)] == pytest.approx(expected, abs=1e-9)
    for scorer, score in (
        (rouge.Rouge(), rouge_l_score(candidates, references)),
        (cider.Cider(), cider_score(candidates, references)),
    ):
        mean, each = scorer.compute_score(truth, said)
        assert items(score) == pytest.approx(list(each), abs=1e-9)
        assert total(score) == pytest.approx(mean, abs=1e-9)


def test_the_score_of_a_resample_is_that_of_the_drawn_items():
    candidates, references = random_corpus(7, shortest=1)
    drawn = [0, 0, 3, 9, 9, 9]
    times = np.bincount(drawn, minlength=len(candidates))
    score = bleu_score(candidates, references)

    expected = total(bleu_score([candidates[i] for i in drawn], [references[i] for i in drawn]))
    assert float(score.combine(times @ score.terms)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("score", [bleu_score, rouge_l_score, cider_score])
def test_items_without_reference_are_refused(score):
    with pytest.raises(ValueError, match="item 1 has none"):
        score([("a",), ("b",)], [words("a"), []])
    with pytest.raises(ValueError, match="2 answers and 1"):
        score([("a",), ("b",)], [words("a")])


@pytest.mark.parametrize("n", [0, 5])
def test_bleu_has_one_to_four_words(n):
    with pytest.raises(ValueError, match=f"got {n}"):
        bleu_score([("a",)], [words("a")], n)
