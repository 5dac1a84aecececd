"""A corpus on disk, as every command reads it.

::

    CORPUS/
      documents-00000.parquet ...  a document a row, OmniCorpus' columns and ``domainvl``; training reads them as is
      images/<SHA-256 of the URL>  without extension, as OmniCorpus names them
      manifest.json                the steps that made it, each with settings, counts and what was left out by reason
      rejects.jsonl                what was left out in the last step, one by one
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.corpus.tables import iterate_tables, read_table, row_group_count, to_documents
from domainvl.errors import DatasetError, InputNotFoundError, UsageError
from domainvl.interleaved.documents import Document
from domainvl.schema.reader import CORPUS_KIND, is_corpus
from domainvl.schema.writer import MANIFEST_NAME

IMAGES_NAME = "images"


def check_place(out: Path, inputs: Sequence[Path]) -> None:
    """Refuse a target that would be mixed up with what it is made of.

    Args:
        out: Folder to make.
        inputs: Folders of corpora.

    Raises:
        UsageError: If it is an input, contains one or lies inside one.
    """
    ours = out.resolve()
    for given in inputs:
        theirs = given.resolve()
        if theirs.is_relative_to(ours) or ours.is_relative_to(theirs):
            rule = f"it must not be the input {given}, contain it or lie inside it"
            raise UsageError("Cannot write", where=out, rule=rule, action="Name another folder")


def check_kind(out: Path, *, makes_corpus: bool) -> None:
    """Refuse to replace a corpus with a data set, and anything else with a corpus.

    Args:
        out: Folder to make, which may be there.
        makes_corpus: Whether it will be a corpus.

    Raises:
        UsageError: If what is there is of the other kind.
    """
    if (out / MANIFEST_NAME).is_file() and is_corpus(out) != makes_corpus:
        found, made = ("a data set", "a corpus") if makes_corpus else ("a corpus", "a data set")
        rule = f"it is {found}, and {made} must not replace one"
        raise UsageError("Cannot overwrite", where=out, rule=rule, action="Name another folder, or remove it yourself")


@dataclass(frozen=True)
class DocumentGroup:
    """One row group of a file of documents: what one unit of work reads.

    Attributes:
        file: Name of the file in the corpus.
        row_group: Which, from 0.
        sha256: Hash of the file, so that a unit of a file that changed is another unit.
    """

    file: str
    row_group: int
    sha256: str


@dataclass(frozen=True)
class Corpus:
    """A corpus that was opened.

    Attributes:
        folder: Where it lies.
        manifest: What it says of itself.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Open a corpus.

        Raises:
            InputNotFoundError: If there is no such folder.
            UsageError: If it is no corpus.
            DatasetError: If its manifest cannot be read.
        """
        if not folder.is_dir():
            rule = "it is a file, not a folder" if folder.exists() else "there is no such folder"
            raise InputNotFoundError("Cannot open a corpus", where=folder, rule=rule)
        path = folder / MANIFEST_NAME
        try:
            manifest = json.loads(path.read_bytes())
        except FileNotFoundError:
            manifest = None
        except (OSError, ValueError) as error:
            raise DatasetError("Cannot open a corpus", where=path, rule=str(error)) from error
        if not isinstance(manifest, dict) or manifest.get("kind") != CORPUS_KIND:
            raise UsageError(
                "Cannot open a corpus",
                where=folder,
                rule="it was not made by domainvl corpus",
                action="Make one of it with: domainvl corpus build FOLDER --out CORPUS",
            )
        return cls(folder, manifest)

    @property
    def images(self) -> Path:
        """The folder of its images."""
        return self.folder / IMAGES_NAME

    @property
    def files(self) -> list[Path]:
        """Its files of documents, in order."""
        return [self.folder / file["name"] for file in self.manifest["files"]]

    @property
    def document_count(self) -> int:
        """How many documents it has."""
        return sum(int(file["documents"]) for file in self.manifest["files"])

    def groups(self) -> list[DocumentGroup]:
        """Divide it into units of work; the same for everyone who asks.

        Raises:
            DatasetError: If a file cannot be read.
        """
        return [
            DocumentGroup(file["name"], row_group, file["sha256"])
            for file in self.manifest["files"]
            for row_group in range(row_group_count(self.folder / file["name"]))
        ]

    def read_group(self, group: DocumentGroup) -> list[Document]:
        """Read the documents of a unit of work.

        Raises:
            DatasetError: If the file cannot be read.
            ItemError: If a row breaks an invariant of the format.
        """
        return to_documents(read_table(self.folder / group.file, group.row_group))

    def documents(self) -> Iterator[Document]:
        """Yield all documents in order.

        Raises:
            DatasetError: If a file cannot be read.
            ItemError: If a row breaks an invariant of the format.
        """
        for table in iterate_tables(self.files):
            yield from to_documents(table)
