"""Text in pictures: every written picture is searched, one find concerns what is handled with it, and all is counted.

The reader of text is stood in for: a picture holds as many lines as its first pixel says.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from domainvl.converters.dicom.annotations.places import SlicePlace
from domainvl.converters.dicom.instance import FileRef, ImageFacts
from domainvl.converters.dicom.privacy import handling
from domainvl.converters.dicom.privacy.handling import PixelHandling
from domainvl.converters.dicom.settings import DicomSettings
from domainvl.converters.dicom.units import SliceRef
from domainvl.errors import LeftOutError


@pytest.fixture
def reader(monkeypatch):
    """The reader of text; ``calls`` counts what it was given."""
    state = SimpleNamespace(calls=0)

    def find_text(pixels):
        state.calls += 1
        return [None] * int(pixels[0, 0])

    monkeypatch.setattr(handling, "find_text", find_text)
    monkeypatch.setattr(handling, "is_installed", lambda: True)
    return state


def ref(file="a", frame=0, modality="DX"):
    facts = ImageFacts(modality, "", 4, 4, None, ("ORIGINAL", "PRIMARY"), "MONOCHROME2", "1.2.840.10008.1.2")
    place = SlicePlace(f"1.{file}", frame, None, None, 4, 4, "", "")
    return SliceRef(FileRef(Path(file)), file, frame, 1, frame, None, place, facts)


def picture(lines=0):
    return np.full((4, 4), lines, np.uint8)


def made(**settings):
    return PixelHandling(DicomSettings(**settings), quarantined_count=0, shows_face=False)


def take(subject, refs, *lines, **flags):
    """Whether a picture is let pass."""
    flags = {"suspected": False, "cropped": False, "blurred": False, **flags}
    try:
        subject.check(refs)
        subject.take([picture(number) for number in lines], refs, **flags)
    except LeftOutError as error:
        return error.reason
    return "passed"


def counts(subject):
    log = subject.log(attribute_count=1, text_replacements={})
    pixels = {name: number for name, number in log.pixels.model_dump().items() if number}
    return pixels, log.patient_identity_removed


def test_med_61_every_picture_of_a_slice_is_searched(reader):
    subject = made()
    assert take(subject, [ref()], 0, 0, 2) == "text-in-pixels"
    assert reader.calls == 3
    with pytest.raises(LeftOutError, match="2 lines of text"):
        subject.check([ref()])


@pytest.mark.parametrize(("modality", "pixel_text", "same_file", "concerned"), [
    ("DX", "auto", True, True), ("DX", "auto", False, True),  # what programs write on: the stack
    ("DX", "all", False, True),
    ("CT", "all", True, True), ("CT", "all", False, False),  # slices of a scanner: the file
])  # fmt: skip
def test_med_61_one_find_concerns_what_was_let_pass_before_and_comes_behind(
    reader, modality, pixel_text, same_file, concerned
):
    refs = [ref("a" if same_file else f"{number}", number, modality) for number in range(4)]
    subject = made(pixel_text=pixel_text)
    lines = (0, 0, 1, 0)

    first = [take(subject, [thing], number) for thing, number in zip(refs, lines, strict=True)]
    assert first == ["passed", "passed", "text-in-pixels", "text-in-pixels" if concerned else "passed"]
    assert subject.begins_again() is concerned
    if concerned:
        searched = reader.calls
        assert [take(subject, [thing], 0) for thing in refs] == ["text-in-pixels"] * 4
        assert reader.calls == searched == 3  # the last was refused unseen
        # Three were searched, whatever became of them; nothing was written, so that nothing shows anyone.
        assert counts(subject) == ({"quarantined_by_text": 4, "searched": 3}, True)
        with pytest.raises(LeftOutError, match="others of its file or stack"):
            subject.check([refs[0]])
    else:
        assert counts(subject) == ({"kept": 3, "quarantined_by_text": 1, "searched": 4}, True)
    assert not subject.begins_again()


def test_med_61_a_find_in_a_projection_concerns_its_file_or_itself(reader):
    frames, files = [ref("a", number, "CT") for number in range(2)], [ref(f"{n}", 0, "CT") for n in range(2)]
    for refs, concerned in ((frames, True), (files, False)):
        subject = made(pixel_text="all")
        assert [take(subject, [thing], 0) for thing in refs] == ["passed", "passed"]
        assert take(subject, refs, 1) == "text-in-pixels"
        with pytest.raises(LeftOutError, match="1 lines"):
            subject.check(refs)
        assert subject.begins_again() is concerned
    subject = made(pixel_text="all")
    assert take(subject, [files[1]], 1) == "text-in-pixels"
    assert take(subject, files, 0) == "text-in-pixels"  # it would show the slice with text
    assert take(subject, [files[0]], 0) == "passed"


def test_med_61_nothing_is_searched_twice(reader):
    refs = [ref("b", 0, "CT"), ref("a", 0, "CT"), ref("a", 1, "CT")]
    subject = made(pixel_text="all")
    for lines in ((0, 0, 1), (0, 0, 0)):
        outcomes = [take(subject, [thing], number) for thing, number in zip(refs, lines, strict=True)]
        assert subject.begins_again() is (lines == (0, 0, 1))
    assert outcomes == ["passed", "text-in-pixels", "text-in-pixels"]
    assert reader.calls == 3
    assert counts(subject) == ({"kept": 1, "quarantined_by_text": 2, "searched": 3}, True)


def test_med_61_where_text_is_allowed_a_find_is_counted_and_refuses_nothing(reader):
    subject = made(burnt_in="allow")
    assert [take(subject, [ref("a", number)], number) for number in (1, 0)] == ["passed", "passed"]
    assert not subject.begins_again()
    assert counts(subject) == ({"allowed": 1, "kept": 1, "searched": 2}, False)


@pytest.mark.parametrize(("settings", "outcome"), [
    ({}, "passed"),  # a slice of CT is not searched by auto, but with an overlay on it
    ({"pixel_text": "off"}, "overlay-drawn"),
    ({"pixel_text": "off", "burnt_in": "allow"}, "passed"),
])  # fmt: skip
def test_med_61_a_drawn_overlay_is_searched_or_left_out(reader, settings, outcome):
    subject = made(**settings)
    assert take(subject, [ref(modality="CT")], 0, inked=True) == outcome
    assert reader.calls == (not settings)
    pixels, removed = counts(subject)
    assert removed is (settings.get("burnt_in") != "allow")
    if settings:
        assert pixels == ({"quarantined": 1} if outcome == "overlay-drawn" else {"allowed": 1})
    assert take(made(), [ref(modality="CT")], 1, inked=True) == "text-in-pixels"


def test_med_61_an_overlay_without_the_extra_is_left_out(reader, monkeypatch):
    monkeypatch.setattr(handling, "is_installed", lambda: False)
    assert take(made(), [ref()], 0, inked=True) == "overlay-drawn"
    assert take(made(), [ref()], 0) == "passed"
    assert reader.calls == 0
