"""What is measured agrees with plain Python, survives JSON, and does not depend on the process."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from corpus.filtering.rule_cases import CASES, make_document

from domainvl.corpus.filtering.characters import SEPARATOR, count_texts
from domainvl.corpus.filtering.deciding import decide
from domainvl.corpus.filtering.measuring import Measured, measure
from domainvl.corpus.filtering.normalising import Piece, normalise, piece_text
from domainvl.corpus.filtering.profiles import load_profile, with_settings
from domainvl.corpus.filtering.repetition import text_shares, word_shares
from domainvl.errors import DatasetError, UsageError
from domainvl.interleaved.documents import Document, Origin, TextKind, TextSlot

GENERAL = load_profile("general")
ALPHABET = "aBé7²ß \t\n\x0b.!?…。”')漢字𠀀ſІ☃-\ud800"


def random_text(draw: random.Random) -> str:
    return "".join(draw.choices(ALPHABET, k=draw.randint(0, 30))).strip()


@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_plain_python(seed: int) -> None:
    draw = random.Random(seed)
    texts = [random_text(draw) for _ in range(12)]
    counts, chinese = count_texts(texts, "".join(text + SEPARATOR for text in texts))
    for text, count in zip(texts, counts, strict=True):
        words = text.split()
        assert count.characters == len(text)
        assert count.solid == sum(not character.isspace() for character in text)
        assert count.words == len(words)
        assert count.letter_words == sum(any(map(str.isalpha, word)) for word in words)
        assert count.longest_word == max(map(len, words), default=0)
        assert count.letters == sum(map(str.isalpha, text))
        assert count.capitals == sum(map(str.isupper, text))
        assert count.digits == sum(map(str.isdigit, text))
        assert count.chinese == sum(character in "漢字𠀀" for character in text)
    assert Counter(chinese.tolist()) == Counter(ord(one) for one in "".join(texts) if one in "漢字𠀀")


@pytest.mark.parametrize(
    ("text", "sentences", "complete"),
    [
        ("One. Two! Three?", 3, 16),
        ("One. And the rest", 2, 4),
        ('He said "no." She left', 2, 13),
        ("Wait... what", 2, 7),
        ("Version 1.2 is out", 1, 0),
        ("一句。两句！没完", 3, 6),
        ("第一句。”第二", 2, 5),
        ("真的吗？！好", 2, 5),
        ("", 0, 0),
    ],
)
def test_sentences_end_at_a_mark_that_a_blank_or_chinese_text_follows(text: str, sentences: int, complete: int) -> None:
    (count,), _ = count_texts([text], text + SEPARATOR)
    assert (count.sentences, count.complete) == (sentences, complete)


def plain_shares(words: list[str]) -> dict[str, float]:
    """Gopher's repetition rules by their definition, with lists of n-grams."""
    total = len(" ".join(words))
    shares = {"omni-word-frequency": max(Counter(words).values()) / len(words)}
    for size in range(2, 11):
        grams = [" ".join(words[place : place + size]) for place in range(len(words) - size + 1)]
        if size <= 4 and grams:
            gram, times = Counter(grams).most_common(1)[0]  # the first of equally common ones
            shares[f"gopher-top-{size}-gram"] = min(1, len(gram) * times / total) if times > 1 else 0
        if size >= 5:
            seen, place, characters = set(), 0, 0
            while place < len(grams):
                if grams[place] in seen:
                    characters += len(grams[place].replace(" ", ""))  # as datatrove's find_all_duplicate
                    place += size
                else:
                    seen.add(grams[place])
                    place += 1
            shares[f"gopher-duplicate-{size}-grams"] = characters / total
    return shares


@pytest.mark.parametrize("seed", range(30))
def test_repetition_is_that_of_the_definition(seed: int) -> None:
    draw = random.Random(seed)
    words = draw.choices(["a", "bb", "ccc", "dddd"][: draw.randint(1, 4)], k=draw.randint(1, 60))
    expected = plain_shares(words)
    found = word_shares(words)
    assert {code: found.get(code, 0) for code in expected} == pytest.approx(expected)


def test_a_text_that_repeats_nothing_has_no_share_of_repetition() -> None:
    assert word_shares("no acute cardiopulmonary abnormality".split()) == {"omni-word-frequency": 0.25}


def test_share_of_repeated_paragraphs() -> None:
    assert text_shares(["ab", "ab", "cdef", "ab"]) == (0.5, 0.4)


@pytest.mark.parametrize("code", CASES)
def test_what_was_measured_survives_json(code: str) -> None:
    document = make_document(CASES[code].dropped)
    measured = measure(document, GENERAL)
    again = Measured.from_dict(json.loads(json.dumps(measured.to_dict())))
    assert again == measured
    assert decide(document, again, GENERAL) == decide(document, measured, GENERAL)


def test_other_json_is_refused() -> None:
    with pytest.raises(DatasetError, match="Filter the corpus before this one again"):
        Measured.from_dict({"id": "a"})


def test_numbers_change_without_measuring_and_normalisers_do_not() -> None:
    document = make_document(["BUY THE OLD house NOW, and come soon."])
    measured = measure(document, GENERAL)
    strict = with_settings(GENERAL, ["gopher-words=off", "c4-sentences=off", "hf-uppercase.max=0.3", "hf-words=off"])
    codes = [removal.rule for removal in decide(document, measured, strict).removals]
    assert "hf-uppercase" in codes
    with pytest.raises(UsageError, match="measured with other normalisers"):
        decide(document, measured, with_settings(GENERAL, ["hf-urls=off"]))


PRINT = """
import json, sys
sys.path.insert(0, "tests")
from corpus.filtering.rule_cases import CASES, make_document
from domainvl.corpus.filtering.measuring import measure
from domainvl.corpus.filtering.profiles import load_profile
profile = load_profile("general")
many = ["Published by us: terms of use, read more, sign in, most viewed, privacy policy, YouTube, for more info"]
for slots in [many, *(case.dropped for case in CASES.values())]:
    print(json.dumps(measure(make_document(slots), profile).to_dict()))
"""


def test_the_same_is_measured_whatever_python_hashes_words_to() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PRINT], capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) == 1 + len(CASES)


def test_what_is_cut_out_before_measuring() -> None:
    text = "See https://a.org/x, or\nwww.b.org/y_z. [Video]" + "_" * 20 + "The\n\nend.\nNew"
    slot = TextSlot(text)
    pieces = normalise(slot, GENERAL.normalisers)
    assert [piece_text(text, piece) for piece in pieces] == ["See , or .", "The  end.\nNew"]
    assert [text[cut.begin : cut.end] for piece in pieces for cut in piece.cuts] == [
        "https://a.org/x", "\n", "www.b.org/y_z", "[Video]", "\n", "\n",
    ]  # fmt: skip
    assert [(piece.begin, piece.end) for piece in pieces] == [(0, 46), (66, len(text))]


@pytest.mark.parametrize("kind", [TextKind.CODE, TextKind.TABLE])
def test_lines_of_code_and_tables_stay(kind: TextKind) -> None:
    slot = TextSlot("a = 1\nb = 2", kind)
    assert normalise(slot, GENERAL.normalisers) == [Piece(0, 11, ())]


@pytest.mark.parametrize(
    ("told", "text", "language"),
    [
        (None, "The house.", "en"),
        ("en-GB", "The house.", "en"),
        ("de", "Das Haus.", "other"),
        ("en", "房子在河边 CT", "zh"),
        ("zh-CN", "The house.", "en"),
        (None, "12 34", "en"),
    ],
)
def test_chinese_is_what_is_written_in_it(told: str | None, text: str, language: str) -> None:
    document = Document("a", (TextSlot(text),), origin=Origin("html", "a.html", language=told))
    assert measure(document, GENERAL).language == language


def test_line_breaks_are_counted_in_a_row() -> None:
    assert measure(make_document(["a\n\nb\n \n\nc\n", "d\n"]), GENERAL).document["omni-line-breaks"] == 3


def test_chinese_is_counted_in_characters() -> None:
    text = "房子在河边。" * 20
    measured = measure(Document("a", (TextSlot(text),)), GENERAL)
    kept = decide(Document("a", (TextSlot(text),)), measured, with_settings(GENERAL, ["omni-word-frequency=off"]))
    assert measured.paragraphs[0].counts.chinese == 100
    assert not {removal.rule for removal in kept.removals} & {"zh-characters", "gopher-words", "hf-words"}


def test_a_word_list_of_ones_own_is_counted() -> None:
    profile = GENERAL.model_copy(update={"flagged_words": ("house",)})
    own = type(GENERAL).model_validate(profile.model_dump())
    measured = measure(make_document(["The house, and a House."]), own)
    assert measured.paragraphs[0].flagged_words == 2
    assert own.measuring_key != GENERAL.measuring_key
    assert dataclasses.replace(measured, key=GENERAL.measuring_key) != measured
