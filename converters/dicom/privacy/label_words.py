"""Keeps words out of a data set that people type into annotations and tables of labels, where they name someone.

Names of regions, labels of segments, meanings of codes and cells of tables become classes and answers as they are
written. Those that hold a name or a number of the headers, or what has the form of an identifier, are left out (PS3.15
table E.1-1 removes ROI names altogether; here they are the labels). The forms are wider than in a running text, as a
label is short and is lost at little cost: dates with two digits for the year, long numbers, a title before a name. A
name that no header has and that has no title cannot be told from other words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pydicom import Dataset

from domainvl.schema.identifying import find_identifiers, fold
from domainvl.schema.writer import Reject, Severity

from ...medical.findings import Finding, SliceTruth
from ..annotations.annotation import Annotation
from ..header_questions import BODY_PART_CLASSES
from ..instance import Kind
from .identifiers import Identifier, IdentifierKind, identifiers_of
from .scrub import scrub

_KINDS = (IdentifierKind.NAME, IdentifierKind.ID, IdentifierKind.CONTACT, IdentifierKind.PLACE)
"""UIDs are known by their form."""

_UNNAMED = "unnamed"

_SIDES = frozenset({"LEFT", "RIGHT", "LT", "RT", "L", "R"})

TABLE = "table"
"""Stands for the table of labels among the sources of words."""

_WAYS_OUT = {
    Kind.SEGMENTATION.value: "Give its segments types by codes, with meanings that name nobody",
    Kind.STRUCTURE_SET.value: "Give its structures names of anatomy",
    Kind.STRUCTURED_REPORT.value: "Name findings, sites and measurements by codes, with meanings that name nobody",
    TABLE: "Take names, dates and numbers of patients out of the table",
}

_MIN_LETTERS = 3
"""Shorter parts of names, such as initials, stand for too much else."""

_MIN_INNER_LETTERS = 5
"""So long a part of a name is looked for within words too: people write ``GTVortega``."""

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa", "ø": "oe", "æ": "ae"})

# A capital that follows a small letter or begins the last of several: GTVOrtega is GTV Ortega.
_INNER_BORDER = re.compile(r"_+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_DAY, _MONTH = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])"
_LOOSE_DATE = re.compile(
    rf"(?<![\w.])(?:{_DAY}([./-]){_MONTH}\1|{_MONTH}([./-]){_DAY}\2)(?:\d\d)?\d\d(?!\d)"
    rf"|(?<![\w.])\d\d([./-]){_MONTH}\3{_DAY}(?!\d)"
    rf"|(?<!\w){_DAY}[ _]{_DAY}[ _](?:19|20)\d\d(?!\d)"
)
_LONG_NUMBER = re.compile(r"\d{6}")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?")
# Not "MS" and "Mr", which are a disease and a letter of anatomy more often than titles.
_TITLED = re.compile(
    r"(?<![^\W_])(?i:drs?|prof|professor|doctor|herrn?|frau|mrs|miss|mme|mlle|dra)(?:\.\s*|\s+)[^\W\d_a-z]"
)


class LabelWords:
    """Tells words that name someone from others, once it has learnt the headers of what the words are about."""

    def __init__(self) -> None:
        self._known: set[Identifier] = set()
        self._name_parts: set[str] = set()
        self._name_words: set[str] = set()
        self._withheld: frozenset[str] = frozenset()
        self._answers: dict[str, bool] = {}
        self._seen: set[str] = set()

    def learn(self, header: Dataset) -> None:
        """Gather the identifiers of a header."""
        self.learn_names(identifiers_of(header, _KINDS))

    def learn_names(self, identifiers: Iterable[Identifier]) -> None:
        """Take in identifiers that are known already."""
        self._known.update(identifiers)
        self._name_words = set(_name_parts(self._known, _MIN_LETTERS))
        self._name_parts = set(_name_parts(self._known, _MIN_INNER_LETTERS))
        self._answers.clear()

    def withhold(self, labels: Iterable[str]) -> None:
        """Take some labels as naming someone, whatever they look like."""
        self._withheld = self._withheld.union(labels)

    def name_someone(self, text: str) -> bool:
        """Whether a text holds an identifier of the headers, or something in the form of one."""
        if text in self._withheld:
            self._seen.add(text)
            return True
        if text not in self._answers:
            self._answers[text] = not _is_anatomy(_apart(text)) and self._judge(text)
        if self._answers[text]:
            self._seen.add(text)
        return self._answers[text]

    def _judge(self, text: str) -> bool:
        forms = {text, _apart(text)}
        return any(_has_form(form) or self._is_known(form) for form in forms) or self._holds_name(text)

    def _is_known(self, text: str) -> bool:
        # What a scrub takes out of any text, such as the capital word behind "MS", is no name of this patient.
        without, plain = scrub(text, sorted(self._known), _nobody), scrub(text, (), _nobody)
        return (without.text, without.residual) != (plain.text, plain.residual)

    def _holds_name(self, text: str) -> bool:
        letters = {re.sub(r"[\W\d_]+", "", form) for form in _folded(text)}
        return any(part in form for form in letters for part in self._name_parts)

    def cleaned_table(
        self, truths: Iterable[SliceTruth | None], name: str
    ) -> tuple[list[SliceTruth | None], list[Reject]]:
        """Return what a table says about slices without the words that name someone, and a reject where there are any.

        Args:
            truths: What it says of each slice; None where it does not list it.
            name: Names the table in the reject, without identifiers.
        """
        self._seen.clear()
        cleaned = [None if truth is None else self.cleaned_truth(truth) for truth in truths]
        return cleaned, [_names_left_out(name, TABLE, len(self._seen))] if self._seen else []

    def cleaned_truth(self, truth: SliceTruth) -> SliceTruth:
        """Return what is said about one slice without the words that name someone."""
        return replace(
            truth,
            findings=tuple(map(self._finding, truth.findings)),
            classes=tuple(self._others(truth.classes)),
            stated=tuple(
                (label, is_there) for label, is_there in truth.stated if not self.name_someone_as_label(label)
            ),
            described=self._pairs(truth.described),
        )

    def cleaned_annotation(self, annotation: Annotation, name: str, kind: Kind) -> Annotation:
        """Return an annotation without the words that name someone, and with a reject where there are any.

        Args:
            annotation: The annotation.
            name: Names it in the reject, such as ``"seg-1"``.
            kind: What it is.
        """
        self._seen.clear()
        cleaned = replace(
            annotation,
            per_slice=tuple(tuple(map(self._finding, findings)) for findings in annotation.per_slice),
            classes=tuple(None if names is None else tuple(self._others(names)) for names in annotation.classes),
            described=tuple(map(self._pairs, annotation.described)),
        )
        if not self._seen:
            return annotation
        return replace(cleaned, rejects=(*annotation.rejects, _names_left_out(name, kind.value, len(self._seen))))

    def _finding(self, finding: Finding) -> Finding:
        """Keep a thing whose label is left out as one that nothing is asked about, so that it is not denied either."""
        kept = {
            key: value
            for key, value in finding.attributes.items()
            if not self.name_someone(key) and not (isinstance(value, str) and self.name_someone(value))
        }
        if len(kept) < len(finding.attributes):
            finding = replace(finding, attributes=kept)
        return replace(finding, label=_UNNAMED, clear=False) if self.name_someone_as_label(finding.label) else finding

    def _others(self, labels: Iterable[str]) -> Iterator[str]:
        return (label for label in labels if not self.name_someone_as_label(label))

    def name_someone_as_label(self, text: str) -> bool:
        """Whether a class names someone: it may hold no long number, and no part of a name as a word of its own."""
        # A name in small letters, or behind a title, is one word of a label like others.
        words = {word for form in _folded(_apart(text)) for word in re.split(r"[\W\d_]+", form)}
        is_name = bool(words & self._name_words) and not _is_anatomy(_apart(text))
        if is_name or _LONG_NUMBER.search(text) is not None:
            self._seen.add(text)
            return True
        return self.name_someone(text)

    def _pairs(self, described: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        return tuple(pair for pair in described if not any(map(self.name_someone, pair)))


def _apart(text: str) -> str:
    return _INNER_BORDER.sub(" ", text)


def _is_anatomy(text: str) -> bool:
    """Whether a text is made of parts of the body and sides: no name, even where a patient is called ``BREAST``."""
    words = re.findall(r"[^\W\d_]+", text.upper())
    return bool(words) and all(word in _SIDES or word.removesuffix("S") in BODY_PART_CLASSES for word in words)


def _has_form(text: str) -> bool:
    if any(True for _ in find_identifiers(text, dates=True)):
        return True
    # A number alone is a value, or a number of the headers.
    is_number = _NUMBER.fullmatch(text.strip()) is not None
    return not is_number and any(pattern.search(text) for pattern in (_LOOSE_DATE, _LONG_NUMBER, _TITLED))


def _folded(text: str) -> set[str]:
    """Return how a text may be spelled without accents: Müller is Muller and Mueller."""
    return {fold(text), fold(text.casefold().translate(_UMLAUTS))}


def _name_parts(known: Iterable[Identifier], least: int) -> Iterator[str]:
    """Return the parts of names that have so many letters and are no part of the body."""
    for identifier in known:
        if identifier.kind is IdentifierKind.NAME:
            for part in re.split(r"[\W\d_]+", identifier.text):
                if len(part) >= least and not _is_anatomy(part):
                    yield from _folded(part)


def _names_left_out(name: str, kind: str, count: int) -> Reject:
    """List that words were left out; ``count`` is how many different ones."""
    return Reject(
        name,
        "label",
        "label-identifies",
        f"{count} of its labels or texts seem to hold a name, date or number of a person, and are not asked about",
        _WAYS_OUT[kind],
        Severity.SKIPPED,
    )


def _nobody(_: Identifier) -> None:
    """Give no pseudonym: nothing stands for what is left out."""
    return None
