"""Windows as records: together they are the document, each is trained on as it is, captions stay with their images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_corpora import caption, document, image, write_corpus

from domainvl.corpus.degrading.windows import WindowSettings, cut_document, degrade_to_windows
from domainvl.corpus.folder import Corpus
from domainvl.errors import UsageError
from domainvl.interleaved import InterleavedFile, WindowLimits
from domainvl.interleaved.documents import ImageSlot, Similarity, Slot, TextKind, TextSlot, image_name, whole_document
from domainvl.interleaved.images import ImageFolder
from domainvl.interleaved.windows import WindowCutter
from domainvl.model.checkpoint import find_checkpoint, read_spec, read_tokenizer
from domainvl.model.encoding import ConversationEncoder
from domainvl.schema import Split


@pytest.fixture(scope="module")
def encoder() -> ConversationEncoder:
    tiny = find_checkpoint("tiny")
    spec = read_spec(tiny)
    return ConversationEncoder(read_tokenizer(tiny), spec.chat, spec.preprocessing.tokens_per_tile)


@pytest.fixture(scope="module")
def cutter(encoder: ConversationEncoder) -> WindowCutter:
    return WindowCutter(encoder, read_spec(find_checkpoint("tiny")).preprocessing, WindowLimits(3, 120, text_only=True))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    folder = tmp_path_factory.mktemp("images") / "corpus"
    write_corpus(folder, [document("d", *(image(name) for name in "abcdef"))])
    return ImageFolder(folder / "images")


TEXTS = st.builds(
    TextSlot,
    st.text(st.sampled_from("ab. \n\t"), min_size=1, max_size=60).filter(str.strip),
    st.sampled_from([TextKind.TEXT, TextKind.CAPTION, TextKind.HEADER]),
    page=st.sampled_from([None, 1, 2]),
)
SLOTS = st.one_of(TEXTS, st.builds(image, st.sampled_from("abcdef"), valid=st.sampled_from([True, True, True, False])))


def words_and_images(slots: list[Slot]) -> list[object]:
    """What must come back in order: each word with the kind and page of its slot, each image that is switched on."""
    found: list[object] = []
    for slot in slots:
        if isinstance(slot, ImageSlot):
            found += [slot] if slot.valid else []
        else:
            found += [(character, slot.kind, slot.page) for character in slot.text if not character.isspace()]
    return found


@settings(max_examples=60, deadline=None)
@given(slots=st.lists(SLOTS, min_size=1, max_size=14))
def test_windows_together_are_the_document_without_what_was_counted(
    slots: list[Slot], cutter: WindowCutter, images: ImageFolder
):
    cut = cut_document(document("d", *slots), cutter, images)
    reasons = [reject.reason for reject in cut.rejects]
    given_images = [slot for slot in slots if isinstance(slot, ImageSlot)]
    assert reasons.count("switched-off") == sum(not slot.valid for slot in given_images)
    shown = [slot for window in cut.windows for slot in window.images]
    assert len(shown) + reasons.count("no-window") + reasons.count("switched-off") == len(given_images)
    assert all(1 <= len(window.images) <= 3 for window in cut.windows)
    if "without-image" not in reasons and "no-window" not in reasons:
        assert words_and_images([slot for window in cut.windows for slot in window.slots]) == words_and_images(slots)


def test_what_fits_into_one_window_stays_as_it_is(cutter: WindowCutter, images: ImageFolder):
    slots = (
        TextSlot("  A list:\n\n - one\n - two  "),
        image("a"),
        caption("A cup."),
        TextSlot("x", page=3),
        image("b"),
    )
    (window,) = cut_document(document("d", *slots), cutter, images).windows
    assert window.slots == slots
    assert window.id == "d#w1"


@settings(max_examples=30, deadline=None)
@given(slots=st.lists(SLOTS, min_size=1, max_size=10))
def test_training_makes_one_window_of_each(slots: list[Slot], cutter: WindowCutter, images: ImageFolder):
    for window in cut_document(document("d", *slots), cutter, images).windows:
        again = cut_document(window, cutter, images)
        assert [one.slots for one in again.windows] == [window.slots]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    long = "A sentence about clay and gold. " * 3
    slots: list[Slot] = []
    for name in "abcdefghijklm":
        slots += [TextSlot(long), image(name, alt=f"alt {name}"), caption(f"Fig. {ord(name)}. Caption {name}.")]
    pages = [document(f"d{n}", *slots) for n in range(40)]
    write_corpus(folder / "corpus", [*pages, document("text", long)], per_unit=20)
    degrade_to_windows(folder / "corpus", folder / "windows", WindowSettings(max_tokens=600))
    return folder


def test_a_window_is_a_record_that_says_where_it_is_from(made: Path):
    corpus = Corpus.open(made / "windows")
    windows = list(corpus.documents())
    first = [window for window in windows if whole_document(window.id) == "d0"]
    assert [window.id for window in first] == [f"d0#w{n}" for n in range(1, len(first) + 1)]
    assert len(first) > 2
    assert first[0].origin is not None
    assert first[0].origin.uri == "d0.html"
    assert first[0].url == "https://example.org/d0"
    for window in windows:
        for slot, behind in zip(window.slots, window.slots[1:], strict=False):
            if isinstance(slot, ImageSlot):
                assert slot.alt is not None
                assert behind == caption(f"Fig. {ord(slot.alt[-1])}. Caption {slot.alt[-1]}.")
        assert isinstance(window.slots[-1], TextSlot)
    step = corpus.manifest["steps"][-1]
    assert step["counts"]["windows of 6 images"] > 0
    assert "windows of 1 images" not in step["counts"]
    assert step["drops"] == {"window/without-image": 1}
    assert step["settings"]["model_input"]["tokenizer_sha256"]


def test_training_reads_the_windows_and_divides_no_document(made: Path, encoder: ConversationEncoder):
    preprocessing = read_spec(find_checkpoint("tiny")).preprocessing
    limits = WindowLimits(max_tokens=600)
    files = {
        split: InterleavedFile(made / "windows", encoder, preprocessing, split=split, limits=limits, val_fraction=0.3)
        for split in (Split.TRAIN, Split.VAL)
    }
    groups = {
        split: {whole_document(file.window(index).document) for index in range(len(file))}
        for split, file in files.items()
    }
    assert not groups[Split.TRAIN] & groups[Split.VAL]
    assert len(groups[Split.TRAIN] | groups[Split.VAL]) == 40
    assert sum(len(file) for file in files.values()) == Corpus.open(made / "windows").document_count
    assert not any(file.skipped for file in files.values())
    assert max(max(file.token_counts) for file in files.values()) <= 600


def test_similarities_go_with_their_texts(cutter: WindowCutter, images: ImageFolder):
    near = (Similarity(0, 0, 4, 0.9), Similarity(1, 0, 2, 0.5), Similarity(3, 0, 4, 0.4), Similarity(-1, 0, 2, 0.3))
    long = "word " * 100
    page = document("d", long, "Fig", image("a", similar=near), "Cup.")
    windows = cut_document(page, cutter, images).windows
    (shown,) = windows[-1].images
    by_score = {one.score: one.slot for one in shown.similar}
    assert windows[-1].slots[by_score[0.4]] == TextSlot("Cup.")
    assert by_score[0.3] == -1
    assert 0.9 not in by_score  # a piece of the text that it was compared with is in another window


def test_limits_are_checked(made: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="max_images"):
        degrade_to_windows(made / "corpus", tmp_path / "w", WindowSettings(max_images=0))


def test_an_image_that_is_gone_is_listed(tmp_path: Path):
    write_corpus(tmp_path / "corpus", [document("d", image("a"), "One.", image("b"), "Two.")])
    (tmp_path / "corpus" / "images" / image_name("https://example.org/a.png")).unlink()
    summary = degrade_to_windows(tmp_path / "corpus", tmp_path / "windows", WindowSettings(max_tokens=300))
    (window,) = Corpus.open(summary.out).documents()
    assert [slot.url for slot in window.images] == ["https://example.org/b.png"]
    (reject,) = map(json.loads, (summary.out / "rejects.jsonl").read_text().splitlines())
    assert (reject["input"], reject["reason"]) == ("d https://example.org/a.png", "missing")
