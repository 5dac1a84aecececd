"""Reads reports and joins them to studies, by accession number or else by study UID.

Messages name a report by its number and a study by its pseudonym: neither texts nor identifiers are quoted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema.writer import Reject, Severity

from ..tables import read_rows, repeated
from .report_sections import SECTIONS, TEXT, unwrap, wanted_sections

ACCESSION, STUDY = "accession_number", "study_instance_uid"

_NAMED_IN_FULL = 5
"""As many numbers of reports are named in a message; of more the first ones and how many there are."""


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes:
        name: Names it in messages: its number among the files in order of their paths, or its row in the table.
        accession_numbers: What it may be the report of, by accession number.
        study_uids: The same by study UID.
        sections: The sections that are wanted and that it has, in the order in which they were asked for.
    """

    name: str
    accession_numbers: frozenset[str]
    study_uids: frozenset[str]
    sections: Mapping[str, str]


@dataclass(frozen=True)
class Study:
    """One study of one patient.

    Attributes:
        name: Its pseudonym, by which messages name it.
        uid: StudyInstanceUID, or empty.
        accession_numbers: All that its files give.
    """

    name: str
    uid: str
    accession_numbers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Joined:
    """Reports of studies.

    Attributes:
        by_study: Sections by the name of the study.
        rejects: Reports that could not be joined, and how many studies have none.
    """

    by_study: dict[str, Mapping[str, str]]
    rejects: tuple[Reject, ...]


@dataclass(frozen=True)
class Reports:
    """All reports of a folder or table.

    Attributes:
        reports: Those that could be read.
        rejects: Those that could not.
    """

    reports: tuple[Report, ...]
    rejects: tuple[Reject, ...] = field(default=())

    def join(self, studies: Sequence[Study]) -> Joined:
        """Find the study of each report.

        A report whose accession number is that of a study is joined to it; one without such a study by the study UID.
        Where it gives both and the accession number fits several studies, the study UID decides. A report that fits
        several studies, and all reports of a study that several fit, are left out and listed; so are those whose two
        keys name different studies.

        Args:
            studies: All studies, each once.

        Raises:
            UsageError: If no report fits any study.
        """
        by_accession, by_uid = _index(studies)
        rejects, unmatched, fitted = [*self.rejects], 0, set[str]()
        by_study: dict[str, list[Report]] = {}
        for report in self.reports:
            matches, problem = _match(
                [name for number in sorted(report.accession_numbers) for name in by_accession.get(number, ())],
                [name for uid in sorted(report.study_uids) for name in by_uid.get(uid, ())],
            )
            fitted.update(matches)
            if problem:
                rejects.append(_ambiguous(report, matches, problem))
            elif matches:
                by_study.setdefault(matches[0], []).append(report)
            else:
                unmatched += 1
        if studies and self.reports and unmatched == len(self.reports):
            raise _nothing_fits(unmatched)
        joined = _one_each(by_study, rejects)
        rejects += _counts(unmatched, len({study.name for study in studies} - fitted))
        return Joined(joined, tuple(rejects))


def read_reports(path: Path, sections: Sequence[str]) -> Reports:
    """Read a folder of ``.txt`` files or a table.

    Files are named by accession number or study UID, in any folders below; those of MIMIC-CXR
    (``files/p10/p10000032/s50414267.txt``) by the number of the study after an ``s``. A table is a CSV or an Excel
    workbook (:mod:`domainvl.converters.tables`) with a column ``accession_number`` or ``study_instance_uid`` or both,
    and either a column ``text`` or one a section.

    Args:
        path: The folder or table.
        sections: Sections that are wanted, see :func:`~.report_sections.parse_sections`.

    Raises:
        InputNotFoundError: If there is no such file or folder.
        UsageError: If a folder holds no ``.txt`` file, or a table is not as described.
    """
    if path.is_dir():
        return _read_folder(path, sections)
    if not path.is_file():
        raise InputNotFoundError("Cannot read --reports", rule="there is no such file or folder")
    return _read_table(path, sections)


def _read_folder(folder: Path, sections: Sequence[str]) -> Reports:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".txt" and path.is_file())
    if not files:
        raise UsageError(
            "Cannot read --reports",
            rule="the folder holds no .txt file",
            action="Name a folder of .txt files called by accession number or study UID, or a CSV",
        )
    reports, rejects = [], []
    for number, file in enumerate(files, start=1):
        name = f"report file {number} in order of paths"
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            rejects.append(_reject(name, "report-encoding", "it must be in UTF-8", "Save it as UTF-8"))
            continue
        keys = frozenset({file.stem, file.stem.removeprefix("s")})
        reports.append(Report(name, keys, frozenset({file.stem}), wanted_sections(text, sections)))
    return Reports(tuple(reports), tuple(rejects))


def _read_table(path: Path, sections: Sequence[str]) -> Reports:
    lines = read_rows(path, _unusable_table)
    names = [name.lower() for name in next(lines, (1, []))[1]]
    _check_columns(names, sections)
    reports, rejects = [], []
    for number, cells in lines:
        name = f"reports row {number}"
        if len(cells) > len(names):
            rule = f"it must have {len(names)} cells as the first row, it has {len(cells)}"
            rejects.append(_reject(name, "report-row", rule, "Put quotes around texts with commas or line breaks"))
            continue
        row = dict.fromkeys(names, "") | dict(zip(names, cells, strict=False))
        found = _report_of(name, row, sections)
        if isinstance(found, Report):
            reports.append(found)
        else:
            rejects.append(found)
    return Reports(tuple(reports), tuple(rejects))


def _unusable_table(rule: str) -> UsageError:
    return UsageError(
        "Cannot read --reports", rule=rule, action="Name a folder of .txt files, a CSV in UTF-8 or an Excel workbook"
    )


def _check_columns(names: Sequence[str], sections: Sequence[str]) -> None:
    if twice := [name for name in repeated(names) if name in {ACCESSION, STUDY, TEXT, *sections}]:
        raise _unusable_table(f"each column must stand once, and {', '.join(twice)} is there several times")
    if ACCESSION not in names and STUDY not in names:
        raise _unusable_table(f"the first line must name a column {ACCESSION} or {STUDY}")
    if TEXT not in names and not set(sections) & set(names):
        raise _unusable_table(f"the first line must name a column {TEXT}, or one of the sections {', '.join(sections)}")


def _report_of(name: str, row: Mapping[str, str], sections: Sequence[str]) -> Report | Reject:
    numbers, uids = (frozenset({row[column]} if row.get(column) else ()) for column in (ACCESSION, STUDY))
    if not numbers and not uids:
        action = f"Fill in {ACCESSION} or {STUDY}"
        return _reject(name, "report-no-key", "it names neither accession number nor study", action)
    divided = wanted_sections(row.get(TEXT, ""), sections)
    own = {section: unwrap(row[section]) for section in sections if section in row and section in SECTIONS}
    found = {section: own.get(section) or divided.get(section, "") for section in sections}
    return Report(name, numbers, uids, {section: text for section, text in found.items() if text})


def _index(studies: Sequence[Study]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return names of studies by accession number and by study UID."""
    by_accession: dict[str, list[str]] = {}
    by_uid: dict[str, list[str]] = {}
    for study in studies:
        for number in sorted(study.accession_numbers):
            by_accession.setdefault(number, []).append(study.name)
        if study.uid:
            by_uid.setdefault(study.uid, []).append(study.name)
    return by_accession, by_uid


def _match(by_number: Sequence[str], by_uid: Sequence[str]) -> tuple[list[str], str]:
    """Return the studies that a report fits, and what is wrong where that is not one."""
    both = [name for name in by_number if name in by_uid]
    if by_number and by_uid and not both:
        return [*by_number, *by_uid], "report-keys-disagree"
    matches = list(dict.fromkeys(both or by_number or by_uid))
    return matches, "report-several-studies" if len(matches) > 1 else ""


def _ambiguous(report: Report, matches: Sequence[str], problem: str) -> Reject:
    studies = _listed(sorted(matches))
    if problem == "report-keys-disagree":
        message = f"its accession number and its study UID belong to different studies: {studies}"
    else:
        message = f"it fits {len(matches)} studies, and must fit one: {studies}"
    return _reject(
        report.name, problem, message, "Give a CSV that names the study of each report by study_instance_uid"
    )


def _one_each(by_study: Mapping[str, list[Report]], rejects: list[Reject]) -> dict[str, Mapping[str, str]]:
    """Return the sections of studies with one report; what else there is is added to the rejects."""
    joined: dict[str, Mapping[str, str]] = {}
    for study, reports in by_study.items():
        if len(reports) > 1:
            names = _listed([report.name for report in reports])
            message = f"{len(reports)} reports fit the study, which must have one: {names}"
            action = "Keep the final report, or join them"
            rejects.append(_reject(f"study {study}", "study-several-reports", message, action))
        elif not reports[0].sections:
            message = "it has none of the sections that are asked for"
            action = "Ask for others with --report-sections, or for the whole text with --report-sections text"
            rejects.append(_reject(reports[0].name, "report-no-section", message, action, Severity.SKIPPED))
        else:
            joined[study] = reports[0].sections
    return joined


def _counts(unmatched: int, without: int) -> Iterator[Reject]:
    """List how many reports and studies found no partner; not each: an archive may have many more of one."""
    if unmatched:
        message = f"{unmatched} reports belong to none of the studies"
        action = "Check accession numbers, where more of them should"
        yield _reject("reports", "report-unmatched", message, action, Severity.SKIPPED)
    if without:
        message = f"{without} studies have no report"
        action = "Check accession numbers, where more of them should"
        yield _reject("reports", "study-without-report", message, action, Severity.SKIPPED)


def _nothing_fits(count: int) -> UsageError:
    return UsageError(
        "Cannot join --reports",
        rule=f"none of {count} reports has the accession number or the study UID of a study",
        action="Name files by accession number, or give a CSV with study_instance_uid",
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_IN_FULL])
    return shown if len(names) <= _NAMED_IN_FULL else f"{shown} and {len(names) - _NAMED_IN_FULL} more"


def _reject(name: str, reason: str, message: str, action: str, severity: Severity = Severity.FAILED) -> Reject:
    return Reject(name, "report", reason, message, action, severity)
