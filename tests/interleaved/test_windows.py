"""Windows as properties: within their limits, together the document, no image without its caption."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import make_image
from hypothesis import given, settings
from hypothesis import strategies as st

from domainvl.errors import UsageError
from domainvl.interleaved.windows import WindowCutter, WindowLimits
from domainvl.model.chat import Chat
from domainvl.model.checkpoint import read_tokenizer
from domainvl.model.encoding import ConversationEncoder, Mark
from domainvl.model.preprocessing import Preprocessing
from domainvl.schema import Image

PREPROCESSING = Preprocessing(tile_side_px=28, tokens_per_tile=4, max_tiles=4)


@pytest.fixture(scope="module")
def encoder(untrained: Path) -> ConversationEncoder:
    return ConversationEncoder(read_tokenizer(untrained), Chat(format="Hermes-2"), PREPROCESSING.tokens_per_tile)


def cutter(encoder, **limits) -> WindowCutter:
    return WindowCutter(encoder, PREPROCESSING, WindowLimits(**limits))


def picture(name: str, size_px=(28, 28)) -> Image:
    return make_image(f"images/{name}", size_px=size_px)


A, B, C, D = (picture(name) for name in "abcd")


def parts(windows) -> list[tuple]:
    return [window.parts for window in windows]


def test_a_document_that_fits_is_one_window_with_line_breaks_at_its_images(encoder):
    (window,) = cutter(encoder).cut(["One.", A, "Two.", " Three.", B])
    assert window.parts == ("One.\n", A, "\nTwo.\n", " Three.\n", B)
    assert window.ends
    assert window.images == (A, B)


def test_blanks_that_are_there_are_kept_and_blank_texts_are_nothing(encoder):
    (window,) = cutter(encoder).cut(["One.\t", A, " \n ", "  Two.", "Three. ", "\n"])
    assert window.parts == ("One.\t", A, "  Two.\n", "Three. ")


def test_an_image_goes_with_the_paragraph_behind_it(encoder):
    """Each sentence is about a window: the image must open the second one, not close the first."""
    text = "What colour is the square? " * 3
    need = len(encoder.encode_document([text + "\n", "\n" + text], []).input_ids)
    windows = cutter(encoder, max_tokens=need + 2, text_only=True).cut([text, A, f"{text}\n{text}"])
    assert [window.images for window in windows] == [(), (A,), ()]
    assert parts(windows)[1] == (A, f"\n{text}\n")
    assert [window.ends for window in windows] == [False, False, True]


def test_an_image_at_the_end_goes_with_the_paragraph_before_it(encoder):
    text = "What colour is the square?"
    many = "\n".join([text] * 12)
    windows = cutter(encoder, max_tokens=64, text_only=True).cut([many, A])
    assert windows[-1].parts[-2:] == (f"{text}\n", A)
    assert len(windows) > 1


def test_images_at_the_end_and_the_paragraph_before_them_are_not_divided(encoder):
    assert list(cutter(encoder)._atoms(["One.", "Two.", A, B])) == [("One.",), ("Two.", A, B)]
    assert list(cutter(encoder, max_images=2)._atoms([A, "One.", B, C])) == [(A, "One.", B), (C,)]


def test_a_row_of_images_belongs_to_the_paragraph_behind_it(encoder):
    windows = cutter(encoder, max_images=2).cut([A, "One.", B, C, "Two.", D, "Three."])
    assert [window.images for window in windows] == [(A,), (B, C), (D,)]


def test_figures_side_by_side_stay_with_their_captions(encoder):
    """As books have them: two figures, then the caption of the first, the caption of the second, and a text."""
    long = "What colour is the square? " * 13  # 65 words
    first, second = "Figure 1. Red.", "Figure 2. Blue."
    atoms = cutter(encoder)._atoms
    assert list(atoms([A, B, first, second, "What?"])) == [(A, B, first, second), ("What?",)]
    assert list(atoms([A, B, first, long])) == [(A, B, first), (long,)]
    assert list(atoms([A, first, "What?"])) == [(A, first), ("What?",)]


@pytest.mark.parametrize("labels", [("a", "b"), ("(a)", "(b)"), ("a\nClay", "b\nGold"), ("Fig. 54.", "Fig. 55a.")])
def test_labels_between_figures_do_not_part_them_from_their_caption(encoder, labels):
    row = (A, labels[0], B, labels[1])
    assert list(cutter(encoder)._atoms(["One.", *row, "Two cups."])) == [("One.",), (*row, "Two cups.")]
    assert list(cutter(encoder, max_images=1)._atoms([*row, "Two cups."])) == [row[:2], (*row[2:], "Two cups.")]
    assert list(cutter(encoder)._atoms(["One.", *row])) == [("One.", *row)]


def test_a_label_is_kept_where_its_image_is_too_long(encoder):
    preprocessing = Preprocessing(tile_side_px=28, tokens_per_tile=8, max_tiles=4)
    made = WindowCutter(encoder, preprocessing, WindowLimits(max_images=1, max_tokens=32))
    large = picture("large", (56, 56))  # four tiles and the whole: 40 tokens
    atoms = list(made._atoms([large, "a", A, "b", "Two cups."]))
    assert made.dropped == {"image/over-long": 1}
    assert [part for atom in atoms for part in atom] == ["a", A, "b", "Two cups."]


def test_of_a_row_that_is_too_long_the_last_stay_with_the_paragraph(encoder):
    made = cutter(encoder, max_images=2)
    windows = made.cut(["One.", A, B, C, "Two.", D])
    assert parts(windows) == [
        ("One.\n", A),
        (B, C, "\nTwo.\n"),
    ] or parts(windows)[1][:2] == (B, C)
    # D closes the document, its paragraph is in a window that is full: it has none, and is counted.
    assert made.dropped == {"window/without-text": 1}


def test_windows_that_lack_something_are_counted(encoder):
    made = cutter(encoder)
    assert made.cut(["Only text."]) == []
    assert made.cut([A, B]) == []
    assert made.cut([]) == []
    assert made.dropped == {"window/without-image": 1, "window/without-text": 1}
    (window,) = cutter(encoder, text_only=True).cut(["Only text."])
    assert (window.parts, window.tile_count) == (("Only text.",), 0)


def test_a_long_paragraph_is_cut_at_blanks(encoder):
    text = "where is the red square " * 40
    windows = cutter(encoder, max_tokens=64, text_only=True).cut([A, text])
    assert "".join(part for window in windows for part in window.parts if isinstance(part, str)) == "\n" + text
    assert len(windows) > 3
    assert all(part.strip().split()[0] in text.split() for window in windows for part in window.parts[-1:])
    assert windows[0].images == (A,)


def test_an_image_that_fits_into_no_window_is_counted_and_its_text_stays(encoder):
    large = picture("large", (112, 28))  # 4 tiles and a thumbnail of 4 tokens each, 2 tags
    made = cutter(encoder, max_tokens=32, text_only=True)
    assert parts(made.cut(["One.", large, "Two."])) == [("One.\n",), (large, "\nTwo.")]
    wide = Preprocessing(tile_side_px=28, tokens_per_tile=8, max_tiles=4)
    made = WindowCutter(encoder, wide, WindowLimits(max_tokens=32, text_only=True))
    assert parts(made.cut(["One.", large, "Two."])) == [("One.\n", "\nTwo.")]
    assert made.dropped == {"image/over-long": 1}


@pytest.mark.parametrize("limits", [{"max_images": 0}, {"max_tokens": 31}])
def test_limits_that_let_nothing_through_are_refused(limits):
    with pytest.raises(UsageError, match="max_images must be 1 or more"):
        WindowLimits(**limits)


words = st.lists(st.sampled_from(["red", "square", "What", "colour?", "\n", "\n\n", "漢字", "<image>"]), max_size=30)
sizes = st.sampled_from([(28, 28), (56, 28), (112, 28), (20, 90)])


@settings(max_examples=150, deadline=None)
@given(
    slots=st.lists(st.one_of(words.map(" ".join), sizes), max_size=12),
    max_images=st.integers(1, 4),
    max_tokens=st.integers(32, 120),
)
def test_windows_are_the_document_within_their_limits(encoder, slots, max_images, max_tokens):
    given_slots = [slot if isinstance(slot, str) else picture(str(n), slot) for n, slot in enumerate(slots)]
    made = cutter(encoder, max_images=max_images, max_tokens=max_tokens, text_only=True)
    windows = made.cut(given_slots)

    for window in windows:
        tile_counts = [grid.tile_count for grid in PREPROCESSING.grids(window.images)]
        marked = [part if isinstance(part, str) else Mark.IMAGE for part in window.parts]
        encoded = encoder.encode_document(marked, tile_counts, ends=window.ends)
        assert len(encoded.input_ids) == window.token_count <= max_tokens
        assert sum(tile_counts) == window.tile_count
        assert len(window.images) <= max_images
        assert any(isinstance(part, str) and part.strip() for part in window.parts)
    assert all(not window.ends for window in windows[:-1])
    joined = [part for window in windows for part in window.parts]
    given_text = "".join(slot for slot in given_slots if isinstance(slot, str))
    found_text = "".join(part for part in joined if isinstance(part, str))
    assert "".join(found_text.split()) == "".join(given_text.split())
    given_images = [slot for slot in given_slots if isinstance(slot, Image)]
    found_images = [part for part in joined if isinstance(part, Image)]
    if not made.dropped:
        assert found_images == given_images
        assert windows == [] or windows[-1].ends
    remaining = iter(given_images)
    assert all(image in remaining for image in found_images)  # in order
    assert made.cut(given_slots) == windows


@settings(max_examples=100, deadline=None)
@given(captions=st.lists(st.integers(1, 6), min_size=1, max_size=8), max_tokens=st.integers(50, 90))
def test_no_caption_is_in_another_window_than_its_image(encoder, captions, max_tokens):
    """Figure after figure, each with a caption that fits: image n and caption n stay together."""
    slots = []
    for number, length in enumerate(captions):
        slots += [picture(str(number)), f"({number}) " + "red square " * length]
    windows = cutter(encoder, max_tokens=max_tokens).cut(slots)
    seen = 0
    for window in windows:
        for image, text in zip(window.parts[::2], window.parts[1::2], strict=True):
            assert image.path == f"images/{seen}"
            assert text.strip().startswith(f"({seen})")
            seen += 1
    assert seen == len(captions)
