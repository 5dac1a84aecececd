"""What must survive a translation: what is put out of reach, and what is noticed when it is damaged."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pseudo_language import pseudo

from domainvl.corpus.translating.protecting import MARKERS, Terms, count_words, protect, survivors
from domainvl.errors import ItemError

NONE = Terms({})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Is the nodule of 3.5 mm in <image> new?", ["3.5 mm", "<image>"]),
        ("Frame2: <image> is darker", ["Frame2: <image>"]),
        (
            "a <ref>left lung</ref><box>[[1, 2, 3, 4], [5, 6, 7, 8]]</box> here",
            ["<ref>left lung</ref><box>[[1, 2, 3, 4], [5, 6, 7, 8]]</box>"],
        ),
        ("box [12, 30, 45, 60] or (0.25, 0.5)", ["[12, 30, 45, 60]", "(0.25, 0.5)"]),
        ("T2-weighted at L4/L5 on 2024-01-31", ["T2", "L4/L5", "2024-01-31"]),
        ("cooled to -5 °C, 40% of 1,000 ha", ["-5 °C", "40%", "1,000 ha"]),
        ("<c1,CAM_BACK,497.5,820.0> and CAM_FRONT", ["<c1,CAM_BACK,497.5,820.0>", "CAM_FRONT"]),
        ("see scans/p1.dcm, https://a.org/b?c=1.", ["scans/p1.dcm", "https://a.org/b?c=1"]),
        ("{name} has %s &lt;image&gt;", ["{name}", "%s", "&lt;", "&gt;"]),
        ("Which is right, (A) or B? The answer is A.", ["(A)", "B", "A"]),
        ("A car, and I see another", []),
        ("z. B. ein Auto", []),
        ("%sB, %s5", ["%s", "B", "%s", "5"]),
        ("vitamin a < b", ["<"]),
        ("第3张图像有5.5 mm的结节", ["3", "5.5 mm"]),
        ("٣ سيارات", ["٣"]),
    ],
)
def test_what_is_put_out_of_reach(text, kept):
    protected = protect(text, NONE)
    assert list(protected.pieces) == kept
    assert protected.unmarked == text
    # What a model gets holds no digit but those of the markers.
    assert re.findall(r"\d+", protected.marked(0)) == [str(n) for n in range(1, len(kept) + 1)]


@pytest.mark.parametrize(
    ("terms", "text", "expected"),
    [
        ({"mri": None}, "An MRI, mri or Mri", "«an» MRI, mri «or» Mri"),
        ({"US": None}, "US shows us", "US «shows» «us»"),
        ({"lung": "Lunge"}, "lungs and a Lung", "«lungs» «and» «a» Lunge"),
        ({"lung": None, "lung nodule": "Lungenrundherd"}, "a lung nodule", "«a» Lungenrundherd"),
        ({"t2": "T2w"}, "t2 is T2/T3", "T2w «is» T2/T3"),
        ({"grade 3 tumour": "Tumor vom Grad 3"}, "a grade 3 tumour", "«a» Tumor vom Grad 3"),
        ({"肺": "lung"}, "肺结节", "lung«结节»"),
        ({"a": None, "kg": None}, "a K", "a K"),  # the last is the sign of Kelvin, which is a k in any case
    ],
)
@pytest.mark.parametrize("form", range(len(MARKERS)))
def test_terms(terms, text, expected, form):
    protected = protect(text, Terms(terms))
    said = pseudo(protected.marked(form)) if protected.has_words else protected.marked(form)
    if protected.has_words:
        assert protected.restore(said, form) == expected
    else:
        assert protected.unmarked == expected


@pytest.mark.parametrize(
    ("text", "words", "count"),
    [
        ("lung", "lung", 1),
        ("a lung, lungs; Lung-lung lung", "lung", 3),
        ("肺结节和肺", "肺", 2),
        ("的lung的", "lung", 1),
        ("éa a", "a", 1),
        ("aaa", "a", 0),
        ("", "a", 0),
    ],
)
def test_words_are_counted(text, words, count):
    assert count_words(text, words) == count


def test_names_in_marks_are_translated_by_themselves():
    protected = protect("the <ref>car</ref><box>[[1, 2, 3, 4]]</box>", NONE, lambda name: name.upper())
    assert protected.restore("das [1]", 0) == "das <ref>CAR</ref><box>[[1, 2, 3, 4]]</box>"


TEXT = "Is the nodule of 3.5 mm at <image> in Gd-MRI, or 12 of [1, 2, 3, 4]?"
# 1: 3.5 mm, 2: <image>, 3: the term, 4: 12, 5: the box


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("ist [1] bei [2] in [3] oder [4] von [5]", None),
        ("在［２］中【1】是 [ 3 ] 或 [5] 的[4]", None),
        ("ist [1] bei [2] in [3] oder [4]", "lost"),
        ("ist 3.5 mm bei [2] in [3] oder [4] von [5]", "lost"),
        ("ist [1] bei [1] [2] in [3] oder [4] von [5]", "repeated"),
        ("ist [1] bei [2] in [3] oder [4] von [5] und [6]", "invented"),
        ("ist [1] bei [2] in [3] oder [4] von [5] und 7", "invented"),
        ("ist [1] bei [2] in [3] oder [4] von [5] und <image>", "invented"),
        ("ist [1] bei [2] in [3] oder [4] von [5] </box>", "invented"),
        ("ist [1] bei [2] in [3] oder [4] von [5] [99999999999]", "invented"),
        ("ist [1] bei [2] in [3] oder [4] von [5], also B", "invented"),
        ("ist x[4] bei [2] in [3] oder [1] von [5]", "changed"),  # x12
        ("ist [1] bei [2] in [3]s oder [4] von [5]", "changed"),  # Gd-MRIs
        ("ist [1] bei [2] in [3]_x oder [4] von [5]", "changed"),  # MRI_x, which looks like the name of something
        ("ist [1] bei [2]\nin [3] oder [4] von [5]", "lines"),
        ("[1] [2] [3] [4] [5]", "empty"),
        ("", "empty"),
    ],
)
def test_damage_is_noticed(said, reason):
    protected = protect(TEXT, Terms({"Gd-MRI": None}))
    assert protected.pieces == ("3.5 mm", "<image>", "Gd-MRI", "12", "[1, 2, 3, 4]")
    if reason is None:
        restored = protected.restore(said, 0)
        assert all(restored.count(piece) == 1 for piece in protected.pieces)
    else:
        with pytest.raises(ItemError) as error:
            protected.restore(said, 0)
        assert error.value.reason == reason


@pytest.mark.parametrize(
    ("text", "terms", "said", "expected"),
    [
        (
            "A T2-weighted MRI of 1.5 T shows a lesion, e.g. in L4/L5; option B fits.",
            {"MRI": "MRT"},
            "Eine [1]-gewichtete [2] bei [3] zeigt eine Läsion, z. B. in [4]; Option [5] passt.",
            "Eine T2-gewichtete MRT bei 1.5 T zeigt eine Läsion, z. B. in L4/L5; Option B passt.",
        ),
        (
            "How many ships of more than 50 m are in Frame2: <image>?",
            {"ship": "Schiff"},
            "Wie viele Schiffe von über [1] sind in [2]?",
            "Wie viele Schiffe von über 50 m sind in Frame2: <image>?",
        ),
        (
            "There are 12 cars, 30% of them red. The answer is A.",
            {},
            "有[1]辆汽车，其中[2]是红色的。答案是[3]。",
            "有12辆汽车，其中30%是红色的。答案是A。",
        ),
        (
            "Is the opacity (3.2 cm x 2.1 cm) at [120, 30, 400, 55] new since 2019?",
            {},
            "L'opacité ([1] x [2]) en [3] est-elle nouvelle depuis [4] ?",
            "L'opacité (3.2 cm x 2.1 cm) en [120, 30, 400, 55] est-elle nouvelle depuis 2019 ?",
        ),
        (
            "There are five cars on Highway 1.",
            {},
            "На шоссе [1] пять машин.",
            "На шоссе 1 пять машин.",
        ),
        (
            "The <c1,CAM_FRONT,10.5,20.0> is 15 m ahead, moving at -0.5 m/s.",
            {},
            "[1]は[2]先にあり、[3]で動いている。",
            "<c1,CAM_FRONT,10.5,20.0>は15 m先にあり、-0.5 m/sで動いている。",
        ),
    ],
)
def test_sound_translations_are_accepted(text, terms, said, expected):
    """As people would translate, in scripts with blanks between words and without."""
    assert protect(text, Terms(terms)).restore(said, 0) == expected


PARTS = st.one_of(
    st.sampled_from(
        [
            "<image>",
            "<box>[[1, 22, 333, 4]]</box>",
            "<ref>x</ref>",
            "</ref>",
            "<",
            "(A)",
            "B",
            "3.5 mm",
            "-2",
            "T2",
            "%s",
            "{x}",
        ]
    ),
    st.sampled_from([" ", ", ", "的", "car", "lung", "LUNG", "[", ")", "?"]),
    st.text(max_size=4),
)
TEXTS = st.lists(PARTS, max_size=12).map("".join).map(lambda text: " ".join(text.split()))
TERMS = Terms({"lung": "Lunge", "car": None})


@st.composite
def damaged(draw, marked):
    """A translation that loses, repeats, moves or makes up something, or does not."""
    parts = re.split(r"(\[\d+\])", pseudo(marked))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(parts) - 1))
        match draw(st.sampled_from(["lose", "repeat", "make up", "swap"])):
            case "lose":
                parts[place] = ""
            case "repeat":
                parts.insert(place, parts[place])
            case "make up":
                parts.insert(place, draw(PARTS))
            case "swap":
                other = draw(st.integers(0, len(parts) - 1))
                parts[place], parts[other] = parts[other], parts[place]
    return "".join(parts)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_accepted_holds_all_that_must_survive(data):
    text = data.draw(TEXTS)
    protected = protect(text, TERMS)
    said = data.draw(damaged(protected.marked(0)))
    try:
        restored = protected.restore(said, 0)
    except ItemError:
        return
    # Said without the code under test: the numbers of both, and its tags.
    digits = lambda one: sorted(re.findall(r"\d+(?:\.\d+)?", one))  # noqa: E731
    tags = lambda one: sorted(re.findall(r"<[a-z/]+>", one))  # noqa: E731
    assert digits(restored) == digits(text)
    assert tags(restored) == tags(text)
    assert restored.count("<") == text.count("<")
    assert survivors(restored) == survivors(protected.unmarked)


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_a_translator_that_damages_nothing_is_accepted(text):
    protected = protect(text, TERMS)
    assert len(protected.words) == len(protected.pieces) + 1
    for form in range(len(MARKERS)):
        assert not re.search(r"\d", re.sub(r"[\[(]\d+[\])]", "", protected.marked(form)))
    if protected.has_words and len(text.splitlines()) == 1:
        assert protected.restore(protected.marked(0), 0) == protected.unmarked.strip()
