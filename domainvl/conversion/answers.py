"""The way back: answers to the samples of a data set in the files that a benchmark's own scorer reads.

The converter that made the samples writes them (:class:`AnsweringConverter`), so that what it changed on the way in,
such as coordinates, is changed back by the same hand.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from domainvl import __version__
from domainvl.conversion.converter import load_converter
from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.files import hash_file
from domainvl.schema.exchange.folder import output_folder
from domainvl.schema.operations.rows import InputSet
from domainvl.schema.reader import read_manifest, read_samples
from domainvl.schema.sample import ChoiceAnswer, Sample, Split
from domainvl.schema.writer import MANIFEST_NAME, REJECTS_NAME, Reject, Severity

ANSWERS_NAME = "answers.json"
"""Says what was written from what; stands at the top of every folder of answers."""

ReadChoice = Callable[[str, Sequence[str]], int | None]
"""Reads from an answer which of some options it names; None where it names none."""


@dataclass(frozen=True)
class GivenAnswer:
    """An answer to a sample.

    Attributes:
        sample: The sample.
        text: The answer as it was given; the reference where nobody was asked.
        option: Which option it names, where the sample has options and it names one.
        is_reference: Whether it is the sample's own.
        read_choice: Reads which option it names of options that only the converter knows; None where nothing does.
    """

    sample: Sample
    text: str
    option: int | None
    is_reference: bool
    read_choice: ReadChoice | None = None


@dataclass(frozen=True)
class WrittenAnswers:
    """What a converter wrote.

    Attributes:
        files: Names of the files, in the folder.
        count: Number of answers in them.
        rejects: Answers that were left out.
        notes: What the user should know or do.
    """

    files: Sequence[str]
    count: int
    rejects: Sequence[Reject] = ()
    notes: Sequence[str] = ()


@runtime_checkable
class AnsweringConverter(Protocol):
    """A converter that can write answers to its samples as its source's scorer reads them."""

    def write_answers(self, given: Iterable[GivenAnswer], out: Path, about: Mapping[str, JsonValue]) -> WrittenAnswers:
        """Write answers.

        Args:
            given: The answers, in the order of the data set; read once.
            out: Folder to write in; it exists.
            about: What the user says of the submission, such as the name of the team.

        Raises:
            UsageError: If ``about`` says something that has no place in the files.
        """
        ...


@runtime_checkable
class CompletingConverter(Protocol):
    """A converter whose source's scorer wants an answer to every question, those too that the data set lacks."""

    def missing_answers(
        self, rejects: Iterable[Reject], here: Iterable[Sample], elsewhere: Iterable[Sample]
    ) -> Sequence[Reject]:
        """Name the questions of a split that were left out when the data set was made.

        Args:
            rejects: What was left out then.
            here: The samples of the split; may be left unread.
            elsewhere: All other samples; may be left unread.

        Returns:
            One reject each, failed where its absence makes the files incomplete.
        """
        ...


@dataclass(frozen=True)
class AnswersSummary:
    """What was written.

    Attributes:
        out: The folder.
        files: The files in it that the scorer reads.
        count: Number of answers in them.
        failed: Number of samples and predictions that were left out because something was amiss, by reason.
        skipped: Number of those left out as intended, by reason.
        notes: What the user should know or do.
        exit_code: Whether anything was amiss.
    """

    out: Path
    files: Sequence[Path]
    count: int
    failed: Mapping[str, int]
    skipped: Mapping[str, int]
    notes: Sequence[str]
    exit_code: ExitCode


def write_answers(
    dataset: Path,
    out: Path,
    *,
    split: Split = Split.TEST,
    predictions: Mapping[str, str] | None = None,
    read_choice: ReadChoice | None = None,
    about: Mapping[str, JsonValue] | None = None,
    overwrite: bool = False,
) -> AnswersSummary:
    """Write the answers to the samples of a split in the files of the benchmark that they come from.

    Samples of converters that write no answers are left out. Questions that were left out when the data set was made
    count as failed where the benchmark's scorer wants them all (:class:`CompletingConverter`). What is left out is
    listed in ``rejects.jsonl``.

    Args:
        dataset: Folder of the data set.
        out: Folder to make.
        split: Which samples.
        predictions: Answers by the samples' ids; the reference answers where None.
        read_choice: Reads which option a prediction names; without it, predictions stay as they are.
        about: What the user says of the submission.
        overwrite: Replace a folder of answers that is there.

    Raises:
        InputNotFoundError: If there is no such data set.
        DatasetError: If a line of it is wrong.
        UsageError: If no converter of its samples writes answers, or several do, or ``about`` is wrong.
        NothingToDoError: If there is no sample to answer.
        OutputError: If something cannot be written.
    """
    manifest = read_manifest(dataset)
    name, converter = _converter_of(dataset, split)
    run = _Run(dataset, split, name, predictions, read_choice)
    with output_folder(out, dataset, marker=ANSWERS_NAME, overwrite=overwrite) as work:
        written = converter.write_answers(run.given(), work, about or {})
        missing = _missing(converter, dataset, split)
        rejects = [*run.rejects, *written.rejects, *run.unused(), *missing]
        if not written.count:
            raise _nothing(dataset, split, rejects)
        _write_lines(work / REJECTS_NAME, rejects)
        content = {
            "dataset": manifest["name"],
            "dataset_manifest_sha256": hash_file(dataset / MANIFEST_NAME),
            "converter": name,
            "split": split.value,
            "answers": "reference" if predictions is None else "predictions",
            "files": [*written.files],
            "count": written.count,
            "rejects": [
                {"severity": severity, "reason": reason, "count": count}
                for (severity, reason), count in sorted(
                    Counter((reject.severity.value, reject.reason) for reject in rejects).items()
                )
            ],
            "versions": {"domainvl": __version__},
        }
        (work / ANSWERS_NAME).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    failed = _counted(rejects, Severity.FAILED)
    return AnswersSummary(
        out=out,
        files=[out / file for file in written.files],
        count=written.count,
        failed=failed,
        skipped=_counted(rejects, Severity.SKIPPED),
        notes=[*written.notes, *run.notes(), *_incomplete(missing)],
        exit_code=ExitCode.PARTIAL if failed else ExitCode.DONE,
    )


@dataclass
class _Run:
    """What is being answered."""

    dataset: Path
    split: Split
    converter: str
    predictions: Mapping[str, str] | None
    read_choice: ReadChoice | None
    rejects: list[Reject] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    empty_count: int = 0

    def given(self) -> Iterator[GivenAnswer]:
        """Yield the answers; samples without one become rejects."""
        for sample in read_samples(self.dataset, self.split):
            answer = self._given(sample)
            if answer is not None:
                yield answer

    def _given(self, sample: Sample) -> GivenAnswer | None:
        self.used.add(sample.id)
        made_by = sample.provenance.converter
        if made_by != self.converter:
            why = f"it was made by {made_by}, and these are answers of {self.converter}"
            action = f"Nothing needs to be done: {made_by} has no form of answers of its own"
            self.rejects.append(Reject(sample.id, "answers", "other-converter", why, action, Severity.SKIPPED))
            return None
        if self.predictions is None:
            option = sample.answer.correct if isinstance(sample.answer, ChoiceAnswer) else None
            return GivenAnswer(sample, sample.turns[-1].text, option, is_reference=True)
        text = self.predictions.get(sample.id)
        self.empty_count += text is not None and not text.strip()
        if text is None:
            action = "Make predictions for the whole split: without --limit, on this data set"
            self.rejects.append(Reject(sample.id, "answers", "no-prediction", "no prediction is about it", action))
            return None
        option = None
        if self.read_choice is not None and isinstance(sample.answer, ChoiceAnswer):
            option = self.read_choice(text, sample.answer.options)
        return GivenAnswer(sample, text, option, is_reference=False, read_choice=self.read_choice)

    def notes(self) -> list[str]:
        """Say how many answers are empty, where some are."""
        return [f"{self.empty_count} of the predictions are empty, and written so"] if self.empty_count else []

    def unused(self) -> list[Reject]:
        """Return the predictions that are about no sample of the split."""
        why = f"no sample of the split {self.split} has this id"
        action = "Name the data set and the split that the predictions were made on"
        named = () if self.predictions is None else self.predictions
        return [Reject(name, "answers", "no-sample", why, action) for name in named if name not in self.used]


def _converter_of(dataset: Path, split: Split) -> tuple[str, AnsweringConverter]:
    """Return the converter of the samples that writes answers; samples say who made them, merged ones too."""
    names = sorted({sample.provenance.converter for sample in read_samples(dataset, split)})
    if not names:
        raise NothingToDoError(
            "No answers to write",
            where=dataset,
            rule=f"the split {split} has no samples",
            action="Name another --split",
        )
    loaded = {name: load_converter(name) for name in names}
    answering = [(name, converter) for name, converter in loaded.items() if isinstance(converter, AnsweringConverter)]
    if len(answering) == 1:
        return answering[0]
    if answering:
        rule = (
            f"its samples come from several converters that write answers: {', '.join(name for name, _ in answering)}"
        )
        raise UsageError("Cannot write answers", where=dataset, rule=rule, action="Take the data sets one by one")
    raise UsageError(
        "Cannot write answers",
        where=dataset,
        rule=f"no converter of its samples writes answers, got {', '.join(names)}",
        action="Take a data set of a benchmark with a submission format, such as drivelm",
    )


def _missing(converter: AnsweringConverter, dataset: Path, split: Split) -> Sequence[Reject]:
    """Return the questions of the split that the data set lacks, where the converter can tell."""
    if not isinstance(converter, CompletingConverter):
        return ()
    others = (sample for other in Split if other is not split for sample in read_samples(dataset, other))
    return converter.missing_answers(InputSet.open(dataset).rejects(), read_samples(dataset, split), others)


def _incomplete(missing: Sequence[Reject]) -> Iterator[str]:
    failed = [reject for reject in missing if reject.severity is Severity.FAILED]
    if failed:
        yield (
            f"The files are not complete: {len(failed)} questions, frames or scenes that the scorer may ask for were "
            f"left out when the data set was made, the first: {failed[0].input}. Scorer and server may refuse the files"
        )


def _nothing(dataset: Path, split: Split, rejects: Sequence[Reject]) -> NothingToDoError:
    rule = f"no sample of the split {split} has an answer"
    action = None
    if rejects:
        rule += f" (the first: {rejects[0].input}: {rejects[0].message})"
        action = rejects[0].action
    return NothingToDoError("No answers to write", where=dataset, rule=rule, action=action or "Name another --split")


def _write_lines(path: Path, rejects: Sequence[Reject]) -> None:
    lines = [json.dumps(asdict(reject), ensure_ascii=False) + "\n" for reject in rejects]
    path.write_text("".join(lines), encoding="utf-8", errors="backslashreplace", newline="\n")


def _counted(rejects: Sequence[Reject], severity: Severity) -> dict[str, int]:
    return dict(sorted(Counter(reject.reason for reject in rejects if reject.severity is severity).items()))
