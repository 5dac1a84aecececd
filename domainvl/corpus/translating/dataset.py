"""Translates a whole data set into a new one: same images, groups and splits, other language.

InternVL 1.5 made its bilingual data so (arXiv 2404.16821, section 3.3). Each distinct line is translated once, so that
a class is called the same everywhere. A sample of which one text could not be translated stays as it is, and is
listed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.corpus.translating.memory import TranslationMemory
from domainvl.corpus.translating.protecting import Terms
from domainvl.corpus.translating.table import Progress, TranslationTable, Translator
from domainvl.corpus.translating.texts import WantedTexts, check_translatable, translate_sample
from domainvl.errors import ExitCode, ItemError, LeftOutError, NothingToDoError, UsageError
from domainvl.files import output_errors
from domainvl.schema.operations.rows import InputSet, Row, adopt_images, check_output, unite_versions
from domainvl.schema.reader import spread
from domainvl.schema.sample import Sample, Split, Translation
from domainvl.schema.wording import WORDING_VERSION
from domainvl.schema.writer import DatasetWriter, Reject, Severity

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
"""Form of a BCP 47 tag, as far as it is checked (RFC 5646, section 2.1)."""


@dataclass(frozen=True)
class TranslationSettings:
    """What is translated.

    Attributes:
        language: The language to translate into, as a BCP 47 tag.
        terms: What is not left to the translator, with what it is to be; None for what stays.
        keep_source: Write each sample in its own language too.
        train_only: Leave the other splits as they are.
        limit: Take at most so many samples, evenly spread over the data set; all where None.
    """

    language: str
    terms: Mapping[str, str | None]
    keep_source: bool = False
    train_only: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class TranslationSummary:
    """What was made.

    Attributes:
        out: Folder of the new data set.
        manifest: Its manifest.
        translated_count: Samples in the other language.
        unchanged_count: Samples of other splits that stayed as they are.
        left_out: Samples that are not there in the other language nor meant to be, by reason.
        failed: Samples that stayed in their language as a text could not be translated, by reason.
    """

    out: Path
    manifest: dict[str, Any]
    translated_count: int
    unchanged_count: int
    left_out: dict[str, int]
    failed: dict[str, int]

    @property
    def exit_code(self) -> ExitCode:
        """What the command ends with."""
        return ExitCode.PARTIAL if self.failed else ExitCode.DONE


def memory_path(out: Path) -> Path:
    """Return where translations are kept unless another file is named: beside the data set to make."""
    return out.with_name(f"{out.name}.translations.jsonl")


def translate_dataset(
    dataset: Path,
    out: Path,
    settings: TranslationSettings,
    translator: Translator,
    *,
    memory: Path,
    overwrite: bool = False,
    progress: Progress,
) -> TranslationSummary:
    """Translate a data set.

    Args:
        dataset: Folder of the data set.
        out: Folder of the new one.
        settings: What is translated.
        translator: What translates.
        memory: File of finished translations, from which an interrupted run goes on.
        overwrite: Replace a data set that is there.
        progress: Told after each batch of lines.

    Raises:
        InputNotFoundError: If the data set or one of its files is not there.
        DatasetError: If a line is no sample or an image is missing.
        NothingToDoError: If there is nothing to translate.
        UsageError: If a setting is out of range, the memory is of other translations, or the output folder is taken or
            is, contains or lies inside the input.
        StoppedError: If a server cannot be reached any more; the memory keeps what it has said.
    """
    _check_settings(settings)
    check_output(out, [dataset], overwrite=overwrite)
    given = InputSet.open(dataset)
    run = _Run(given, settings, translator)
    identity = {"language": settings.language, **translator.identity}
    with TranslationMemory(memory, identity) as kept:
        table = _translate_texts(run.wanted(), settings, TranslationTable(translator, kept), progress)
    return run.write(out, table, overwrite=overwrite)


def _translate_texts(
    wanted: WantedTexts, settings: TranslationSettings, table: TranslationTable, progress: Progress
) -> TranslationTable:
    """Translate labels first: questions then call them the same."""
    terms = Terms(settings.terms)
    table.fill(wanted.labels, terms, progress)
    table.fill(wanted.questions, terms.joined(wanted.label_terms(table.text)), progress)
    table.fill(wanted.free, terms, progress)
    return table


class _Run:
    """One translation of a data set, which reads it twice: for its texts, and to write it."""

    def __init__(self, given: InputSet, settings: TranslationSettings, translator: Translator) -> None:
        self._given = given
        self._settings = settings
        self._translator = translator
        self._left_out: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._translated_count = 0
        self._unchanged_count = 0

    def wanted(self) -> WantedTexts:
        """Gather the texts to translate.

        Raises:
            NothingToDoError: If there are none.
        """
        wanted, count = WantedTexts(), 0
        for _, sample in self._chosen():
            if self._is_meant(sample):
                try:
                    check_translatable(sample)
                except LeftOutError:
                    continue
                wanted.see(sample)
                count += 1
        if not count:
            raise NothingToDoError(
                "Nothing to translate",
                where=self._given.folder,
                rule="it has no sample that could be",
                action="See what it holds with: domainvl stats",
            )
        return wanted

    def write(self, out: Path, table: TranslationTable, *, overwrite: bool) -> TranslationSummary:
        """Write the new data set."""
        settings, given = self._settings, self._given
        with output_errors(out), DatasetWriter(out, name=out.name, overwrite=overwrite) as writer:
            for reject in given.rejects():
                writer.reject(reject)
            for row, sample in self._chosen():
                written = self._written(row, sample, table, writer)
                for one in written:
                    writer.add(one)
                if written:
                    adopt_images(writer.images, row)
            manifest = writer.finish(
                command="corpus translate",
                settings={
                    "language": settings.language,
                    "translator": {"name": self._translator.name, **self._translator.identity},
                    "terms": dict(sorted(settings.terms.items())),
                    "keep_source": settings.keep_source,
                    "train_only": settings.train_only,
                    "limit": settings.limit,
                    "data_set": given.describe(),
                },
                sources=given.manifest["sources"],
                versions=unite_versions([given]),
                licence=given.manifest["licence"],
                notes=[self._note()],
            )
        return TranslationSummary(
            out,
            manifest,
            self._translated_count,
            self._unchanged_count,
            dict(sorted(self._left_out.items())),
            dict(sorted(self._failed.items())),
        )

    def _chosen(self) -> Iterator[tuple[Row, Sample]]:
        """Yield the samples that the limit leaves."""
        if self._settings.limit is None:
            yield from self._given.checked_rows()
            return
        wanted = set(spread(sum(1 for _ in self._given.rows()), self._settings.limit))
        yield from (one for place, one in enumerate(self._given.checked_rows()) if place in wanted)

    def _is_meant(self, sample: Sample) -> bool:
        return sample.split is Split.TRAIN or not self._settings.train_only

    def _written(self, row: Row, sample: Sample, table: TranslationTable, writer: DatasetWriter) -> list[Sample]:
        """Return what is written for a sample."""
        if not self._is_meant(sample):
            self._unchanged_count += 1
            return [sample]
        own = [sample] if self._settings.keep_source else []
        try:
            check_translatable(sample)
            translated = self._translated(sample, table)
        except LeftOutError as error:
            self._left_out[error.reason] += 1
            writer.reject(_reject(row, error, Severity.SKIPPED))
            return own
        except ItemError as error:
            self._failed[error.reason] += 1
            writer.reject(_reject(row, error, Severity.FAILED))
            return [sample]
        self._translated_count += 1
        return [*own, translated]

    def _translated(self, sample: Sample, table: TranslationTable) -> Sample:
        language = self._settings.language
        texts = json.dumps([turn.text for turn in sample.turns])
        translation = Translation(
            language=language,
            by=self._translator.name,
            source_id=sample.id,
            source_sha256=hashlib.sha256(texts.encode()).hexdigest(),
        )
        made_by = sample.provenance.model_copy(update={"wording": WORDING_VERSION, "translation": translation})
        update = {"id": f"{sample.id}@{language}", "provenance": made_by}
        return translate_sample(sample, table.text).model_copy(update=update)

    def _note(self) -> str:
        failed = sum(self._failed.values())
        kept = f" {failed} samples are in their own language, as a text of theirs could not be translated." * bool(
            failed
        )
        return (
            f"{self._translated_count} samples were translated into {self._settings.language} by "
            f"{self._translator.name}, and nobody has read them.{kept} What asks for a form of answer, and yes and no "
            "as answers, are as before"
        )


def _check_settings(settings: TranslationSettings) -> None:
    rule = None
    if not _LANGUAGE.fullmatch(settings.language):
        rule = f"--to must be the tag of a language, such as de or zh-Hant, got {settings.language!r}"
    elif settings.limit is not None and settings.limit < 1:
        rule = f"--limit must be 1 or more, got {settings.limit}"
    if rule is not None:
        raise UsageError("Cannot translate", rule=rule)


def _reject(row: Row, error: ItemError, severity: Severity) -> Reject:
    return Reject(str(row.record["id"]), "translate", error.reason, str(error), error.action, severity)
