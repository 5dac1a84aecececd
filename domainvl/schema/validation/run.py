"""Checks a data set as a whole, in one pass over its lines and one over its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from domainvl.schema.reader import no_dataset
from domainvl.schema.sample import Split
from domainvl.schema.validation.canaries import Canary
from domainvl.schema.validation.files import check_files
from domainvl.schema.validation.findings import KEPT_PER_RULE, Finding, Findings
from domainvl.schema.validation.ground import check_ground
from domainvl.schema.validation.hunting import hunt
from domainvl.schema.validation.identifiers import Scanner
from domainvl.schema.validation.images import ImageTable, check_folders, check_images, list_images
from domainvl.schema.validation.index import Index
from domainvl.schema.validation.lines import LineCounts, Progress, check_lines
from domainvl.schema.validation.rules import RULES, Severity
from domainvl.schema.validation.sets import check_groups, check_ids, check_parts, check_pictures


@dataclass(frozen=True)
class ValidationOptions:
    """What is checked beside the rules of the format.

    Attributes:
        pixels: Decode the images; where not, they must exist and hold something.
        identifiers: Look for identifiers of persons.
        canaries: Strings that must not be left; to name some switches ``identifiers`` on.
    """

    pixels: bool = True
    identifiers: bool = False
    canaries: Sequence[Canary] = ()

    def scanner(self) -> Scanner | None:
        """Return what looks for identifiers, if that is wanted."""
        return Scanner() if self.identifiers or self.canaries else None


@dataclass(frozen=True)
class ValidationReport:
    """What was found.

    Attributes:
        dataset: The data set's folder.
        samples: Number of lines that stand for a sample, right or wrong.
        findings: The findings by file and line, of each rule the first ``kept_per_rule``.
        counts: Number of findings of each rule, all of them, in the order of the rules.
        unchecked: What a check had to leave out, by what it is, counted; what is 0 is left out.
        kept_per_rule: How many findings of a rule are listed at most.
    """

    dataset: Path
    samples: int
    findings: Sequence[Finding]
    counts: Mapping[str, int]
    unchecked: Mapping[str, int] = field(default_factory=dict)
    kept_per_rule: int = KEPT_PER_RULE

    def count(self, severity: Severity) -> int:
        """Return the number of all findings of a severity, listed or not."""
        return sum(count for code, count in self.counts.items() if RULES[code].severity is severity)


def validate(
    dataset: Path, options: ValidationOptions | None = None, *, on_progress: Progress | None = None
) -> ValidationReport:
    """Check a data set against all rules; no fault hides another.

    Args:
        dataset: The data set's folder.
        options: What is checked beside the rules of the format.
        on_progress: Called with what is being checked, how much of it is done, and how much there is.

    Raises:
        InputNotFoundError: If there is no such folder, or no file of samples in it.
    """
    options = options or ValidationOptions()
    report_progress = on_progress or (lambda what, done, total: None)
    _check_is_dataset(dataset)
    findings, counts, index = Findings(), LineCounts(), Index(dataset)
    scanner = options.scanner()
    for split in Split:
        name = f"{split.value}.jsonl"
        if not (dataset / name).is_file():
            continue  # reported with the other files
        try:
            check_lines(
                dataset,
                split,
                index=index,
                counts=counts,
                findings=findings,
                scanner=scanner,
                on_progress=report_progress,
            )
        except OSError as error:
            findings.add("file-unreadable", name, None, f"{name} cannot be read ({error.strerror})")
    check_ids(index, findings)
    groups = check_groups(index, findings)
    lost = check_ground(index, findings)
    table = list_images(index)
    check_images(
        dataset, index, table, pixels=options.pixels, findings=findings, scanner=scanner, on_progress=report_progress
    )
    complete = len(counts.read_splits()) == len(Split)
    check_folders(dataset, table, complete=complete, findings=findings, scanner=scanner)
    check_pictures(index, table, findings)
    check_parts(index, table, findings)
    check_files(dataset, counts, groups, findings, scanner)
    unhunted = hunt(dataset, options.canaries, findings, on_progress=report_progress) if options.canaries else {}
    return ValidationReport(
        dataset=dataset,
        samples=counts.lines.total(),
        findings=findings.in_order(),
        counts={code: findings.counts[code] for code in RULES if findings.counts[code]},
        unchecked=_unchecked(index, table, lost) | unhunted,
    )


def _unchecked(index: Index, table: ImageTable, lost: int) -> dict[str, int]:
    counts = {
        "flat images, not compared by their look": int(np.count_nonzero(table.flat)),
        # Where no image has a place on the ground, nobody expects one.
        "images without a place on the ground": index.footprints.unplaced if len(index.footprints.references) else 0,
        "images that held-out samples show as solved examples": index.held_out_examples,
        "places that cannot be compared with others": lost,
    }
    return {what: count for what, count in counts.items() if count}


def _check_is_dataset(dataset: Path) -> None:
    if any((dataset / f"{split.value}.jsonl").is_file() for split in Split):
        return
    rule = "there is no such folder"
    if dataset.exists():
        rule = "it has none of train.jsonl, val.jsonl and test.jsonl"
    raise no_dataset("Cannot validate a data set", dataset, rule)
