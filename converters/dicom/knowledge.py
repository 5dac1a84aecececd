"""What is known about the slices of a stack: annotations and the table of labels, joined slice by slice."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field, replace

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from domainvl.errors import ItemError
from domainvl.schema.writer import Reject, Severity

from ..medical.findings import SliceTruth, one_spelling
from .annotations.annotation import Annotation
from .annotations.loading import load_annotation
from .headers import PARSE_ERRORS
from .inputs.reading import FileReader
from .privacy.label_words import LabelWords
from .settings import DicomSettings
from .units import AnnotationRef, StackUnit


@dataclass
class Known:
    """What annotations and the table of labels say about the slices of a stack.

    Attributes:
        truths: What is known of each slice; None where nobody looked.
        rejects: What could not be used.
        key_places: Places of the slices that a key object note names.
    """

    truths: list[SliceTruth | None]
    rejects: list[Reject] = field(default_factory=list)
    key_places: set[int] = field(default_factory=set)


def what_is_known(unit: StackUnit, settings: DicomSettings, files: FileReader) -> Known:
    """Join what annotations and the table of labels say about each slice.

    Args:
        unit: The stack.
        settings: The converter's settings.
        files: Reads files.
    """
    words = _words_of(unit, files)
    known = Known(*words.cleaned_table([ref.truth for ref in unit.slices], f"{unit.name} labels"))
    for ref in unit.annotations:
        annotation = _load(unit, ref, settings, files, words)
        if isinstance(annotation, Reject):
            known.rejects.append(annotation)
            continue
        if ref.is_reported_here:
            known.rejects += [replace(reject, input=f"{ref.source} {reject.input}") for reject in annotation.rejects]
            if annotation.texts:
                known.rejects.append(_texts_left_out(ref, len(annotation.texts)))
        known.key_places.update(place for place in annotation.key_slices if place < len(unit.slices))
        known.truths = [_joined(truth, annotation, place) for place, truth in enumerate(known.truths)]
    known.truths = one_spelling(known.truths)
    return known


def _words_of(unit: StackUnit, files: FileReader) -> LabelWords:
    """Learn how the header of a slice names the patient, where there are words that could."""
    words = LabelWords()
    if unit.annotations or any(ref.truth is not None for ref in unit.slices):
        with contextlib.suppress(ItemError, InvalidDicomError, *PARSE_ERRORS):  # showing the slice fails, and is listed
            content = files.read(unit.slices[0].file)
            words.learn(dcmread(io.BytesIO(content), force=True, stop_before_pixels=True))
    return words


def _load(
    unit: StackUnit, ref: AnnotationRef, settings: DicomSettings, files: FileReader, words: LabelWords
) -> Annotation | Reject:
    try:
        dataset = dcmread(io.BytesIO(files.read(ref.file)), force=True)
        # What lies on none of the slices is only known where the slices of all stacks are.
        places = [*(thing.place for thing in unit.slices), *ref.elsewhere]
        annotation = load_annotation(dataset, ref.kind, places, name=ref.name, components=settings.components)
        words.learn(dataset)
        return words.cleaned_annotation(annotation, ref.name, ref.kind)
    except ItemError as error:
        return Reject(ref.source, "label", error.reason, str(error), error.action)
    except (InvalidDicomError, *PARSE_ERRORS) as error:
        return Reject(
            ref.source,
            "label",
            "annotation-damaged",
            f"the {ref.kind.value} could not be read ({type(error).__name__})",
            "Fetch the file again; it may have been cut off",
        )


def _texts_left_out(ref: AnnotationRef, count: int) -> Reject:
    return Reject(
        ref.source,
        "label",
        "report-text",
        f"{count} passages of text in it are not used: they may name a person",
        "Give them as text with --reports, where names are taken out",
        Severity.SKIPPED,
    )


def _joined(truth: SliceTruth | None, annotation: Annotation, place: int) -> SliceTruth | None:
    classes = annotation.classes[place]
    findings = annotation.per_slice[place]
    described = annotation.described[place]
    if classes is None and not findings and not described:
        return truth
    base = truth or SliceTruth()
    return replace(
        base,
        findings=(*base.findings, *findings),
        classes=tuple(sorted({*base.classes, *(classes or ())})),
        described=(*base.described, *described),
    )
