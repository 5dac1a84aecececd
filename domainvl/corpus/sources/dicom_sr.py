"""Reads the text of DICOM structured reports, without what identifies a person by its place or form.

Left out and counted: the whole header, names of persons, UIDs, the context of observation (who observed whom, where and
when), coordinates, and references to images. Of dates the year alone is kept (45 CFR 164.514(b)(2)(i)(C)). In what
remains, whatever has the form of an identifier (:mod:`domainvl.schema.identifying`: UIDs, DICOM names, numbers with a
label, dates, telephone numbers, e-mail addresses) is replaced by its kind in brackets. A name in plain prose has no
form and stays: text of real patients is to be read by a person before it is given away.

``domainvl convert dicom`` reads measurement groups and key objects as annotations of images; here a report is text.
"""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from domainvl.corpus.sources.images_on_disk import page_address, read_limited
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError
from domainvl.interleaved.documents import Slot, TextKind, TextSlot
from domainvl.schema.identifying import find_identifiers
from domainvl.schema.writer import Reject, Severity

if TYPE_CHECKING:
    from pydicom import Dataset

_DEFLATED = "1.2.840.10008.1.2.1.99"
"""Transfer syntax whose content is packed by deflate (PS3.5, A.5)."""

_MAX_DEPTH = 50
_LEVELS = 6
_REFERENCES = ("COMPOSITE", "IMAGE", "WAVEFORM")
_COORDINATES = ("SCOORD", "SCOORD3D", "TCOORD", "TABLE")
_DATES = ("DATE", "DATETIME")
"""Value types (PS3.3, table C.17.3-7) that are no text, or of which a part is kept."""

_CONTEXT = "HAS OBS CONTEXT"
_LANGUAGE = ("DCM", "121049")
"""Relationship of the context of observation (PS3.3, table C.17.3-8), and the concept that tells the language of a
report (PS3.16, TID 1204)."""

_NO_CONTENT = frozenset({"", "1", "{ratio}", "no units"})
"""Units that say that there is none (UCUM, section 4.1; PS3.16, CID 82)."""

_WHY_LEFT_OUT = {
    "coordinates": "{count} graphics and tables of numbers are no text",
    "image-reference": "{count} references to images and other instances were left out",
    "observation-context": "{count} items tell who observed whom, where and when",
    "person-name": "{count} names of persons were left out",
    "uid": "{count} UIDs were left out",
    "date": "{count} dates were cut to the year",
    "empty-item": "{count} items have no value",
}


def read_dicom_sr(source: SourceFile, settings: ReadSettings) -> Iterator[Page | Reject]:
    """Read a structured report as one document; a :class:`~domainvl.corpus.sources.reading.Reader`.

    Args:
        source: The file.
        settings: How.

    Yields:
        The document, of texts alone; of a DICOM file that is no report, why it was left out.

    Raises:
        ItemError: With reason ``decode``, ``too-large`` or ``unreadable``.
    """
    content = read_limited(source.path, settings.max_source_bytes, what="Cannot read a report", where=source.uri)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's quote the file
            dataset = _parse(source, content, settings.max_source_bytes)
            report = None if "ContentSequence" not in dataset else _Report.of(dataset)
    except (ItemError, MemoryError):
        raise
    # pydicom raises what it meets on a broken file, at the first look at an element; a file is a unit.
    except Exception as error:
        raise _refused("decode", source.uri, f"it must be DICOM: {type(error).__name__}") from error
    if report is None:
        rule, action = "it has no content of a structured report", "Convert images by domainvl convert dicom"
        yield Reject(source.uri, "read", "not-a-report", rule, action, Severity.SKIPPED)
        return
    yield Page(
        uri=source.uri,
        url=page_address(source, settings),
        slots=tuple(report.slots),
        find_image=_no_image,
        sha256=hashlib.sha256(content).hexdigest(),
        reader=f"pydicom {version('pydicom')}",
        format="dicom-sr",
        language=report.language,
        rejects=report.rejects(source.uri),
    )


def _parse(source: SourceFile, content: bytes, max_bytes: int) -> Dataset:
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info

    if content[128:132] == b"DICM" and read_file_meta_info(source.path).get("TransferSyntaxUID") == _DEFLATED:
        # PS3.10, table 7.1-1: 132 bytes, then the group length in an element of 12 bytes, counted from its end.
        start = 144 + struct.unpack_from("<I", content, 140)[0]
        if len(zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:], max_bytes + 1)) > max_bytes:
            raise _refused("too-large", source.uri, f"it may unpack to {max_bytes:,} bytes")
    return dcmread(io.BytesIO(content), stop_before_pixels=True)


def _refused(reason: str, where: str, rule: str) -> ItemError:
    return ItemError("Cannot read a report", reason=reason, where=where, rule=rule)


def _no_image(address: str) -> bytes:
    raise ItemError("Cannot use an image", reason="missing", where=address, rule="a report has no images in it")


@dataclass
class _Report:
    """What was read of a report.

    Attributes:
        slots: Its texts.
        language: What it says that it is written in, by RFC 5646.
        left_out: How often what was left out.
    """

    slots: list[Slot] = field(default_factory=list)
    language: str | None = None
    left_out: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, dataset: Dataset) -> _Report:
        report = cls()
        report._container(dataset, 0)
        return report

    def rejects(self, uri: str) -> tuple[Reject, ...]:
        return tuple(
            Reject(
                uri,
                "read",
                reason,
                _WHY_LEFT_OUT.get(reason, "{count} texts of this form were replaced").format(count=count),
                severity=Severity.SKIPPED,
            )
            for reason, count in sorted(self.left_out.items())
        )

    def _container(self, item: Dataset, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise ValueError("items are nested too deeply")
        heading = _meaning(item, "ConceptNameCodeSequence")
        before = len(self.slots)
        if heading:
            self.slots.append(TextSlot(self._safe(heading), TextKind.HEADER, min(depth + 1, _LEVELS)))
        for child in item.get("ContentSequence") or ():
            self._item(child, heading, depth + 1)
        if heading and depth and len(self.slots) == before + 1:
            self.slots.pop()  # nothing of the section is left

    def _item(self, item: Dataset, heading: str, depth: int) -> None:
        kind = str(item.get("ValueType", ""))
        if str(item.get("RelationshipType", "")) == _CONTEXT:
            self.left_out["observation-context"] += 1
        elif kind == "CONTAINER":
            self._container(item, depth)
        elif _code(item, "ConceptNameCodeSequence") == _LANGUAGE:
            self.language = (_code(item, "ConceptCodeSequence") or ("", ""))[1] or None
        else:
            line = self._value(item, kind)
            name = _meaning(item, "ConceptNameCodeSequence")
            if line:
                text = line if not name or name == heading else f"{name}: {line}"
                self.slots.append(TextSlot(self._safe(text)))
            for child in item.get("ContentSequence") or ():
                self._nested(child, heading, depth + 1)

    def _nested(self, item: Dataset, heading: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise ValueError("items are nested too deeply")
        self._item(item, heading, depth)

    def _value(self, item: Dataset, kind: str) -> str:
        """Return what an item says in words; empty for what is left out."""
        if kind in _REFERENCES:
            self.left_out["image-reference"] += 1
        elif kind in _COORDINATES:
            self.left_out["coordinates"] += 1
        elif kind in ("PNAME", "UIDREF"):
            self.left_out["person-name" if kind == "PNAME" else "uid"] += 1
        elif kind in _DATES:
            year = str(item.get("Date" if kind == "DATE" else "DateTime", ""))[:4]
            self.left_out["date"] += 1
            return year if year.isdigit() else ""
        else:
            text = _number(item) if kind == "NUM" else _meaning(item, "ConceptCodeSequence") if kind == "CODE" else ""
            text = text or _plain(str(item.get("TextValue", "") or "")) or str(item.get("Time", "") or "")
            self.left_out.update({} if text else {"empty-item": 1})
            return text
        return ""

    def _safe(self, text: str) -> str:
        """Replace what has the form of an identifier."""
        found = sorted(find_identifiers(text, dates=True), key=lambda match: (match[1], -len(match[2])))
        pieces: list[str] = []
        at = 0
        for code, start, matched in found:
            if start < at:
                continue
            pieces += [text[at:start], f"[{code.removeprefix('phi-').upper()}]"]
            at = start + len(matched)
            self.left_out[code] += 1
        return "".join([*pieces, text[at:]])


def _number(item: Dataset) -> str:
    measured = next(iter(item.get("MeasuredValueSequence") or ()), None)
    if measured is None or measured.get("NumericValue") is None:
        return _meaning(item, "NumericValueQualifierCodeSequence")
    unit = _code(measured, "MeasurementUnitsCodeSequence")
    value = _plain(str(measured.NumericValue))
    if unit is None or unit[1] in _NO_CONTENT:
        return value
    is_bracketed = unit[1].startswith(("[", "{"))  # UCUM's own names, such as [hnsf'U], are not for readers
    return f"{value} {_meaning(measured, 'MeasurementUnitsCodeSequence') if is_bracketed else unit[1]}"


def _first(item: Dataset, keyword: str) -> Any:
    return next(iter(item.get(keyword) or ()), None)


def _meaning(item: Dataset, keyword: str) -> str:
    code = _first(item, keyword)
    return "" if code is None else _plain(str(code.get("CodeMeaning", "") or ""))


def _code(item: Dataset, keyword: str) -> tuple[str, str] | None:
    code = _first(item, keyword)
    return None if code is None else (str(code.get("CodingSchemeDesignator", "")), str(code.get("CodeValue", "")))


def _plain(text: str) -> str:
    return " ".join(text.replace("\0", " ").split())
