"""``corpus export``: a corpus as records that other tools read, with its images beside them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from domainvl.corpus.exchange import RecordFormat, to_format
from domainvl.corpus.folder import IMAGES_NAME, Corpus, check_place
from domainvl.corpus.stage import adopt_images
from domainvl.errors import ItemError
from domainvl.files import check_target, complete_folder, write_atomically

EXPORT_NAME = "export.json"
"""What makes a folder an export; written last."""

RECORDS_NAME = "documents.jsonl"


@dataclass(frozen=True)
class ExportSummary:
    """What was written.

    Attributes:
        documents: Records.
        images: Images that the records name and that are there.
        missing_images: Images that the records name and the corpus has no file of.
        left_out: Documents that the format cannot hold, by reason.
    """

    documents: int
    images: int
    missing_images: int
    left_out: dict[str, int]


def export_corpus(corpus: Corpus, out: Path, record_format: RecordFormat, *, overwrite: bool = False) -> ExportSummary:
    """Write the documents of a corpus as lines of JSON, and link its images beside them under their names.

    OmniCorpus' own storage, Parquet, is what a corpus has already.

    Args:
        corpus: What to write.
        out: Folder to make, with ``documents.jsonl`` and ``images``.
        record_format: Of the records.
        overwrite: Replace an export that is there.

    Raises:
        UsageError: If the target is taken or cannot be written.
        DatasetError: If the corpus cannot be read.
        OutputError: If something cannot be written.
    """
    check_place(out, [corpus.folder])
    check_target(out, marker=EXPORT_NAME, overwrite=overwrite)
    left_out: Counter[str] = Counter()
    document_count = 0
    urls: set[str] = set()
    missing_count = 0
    with complete_folder(out) as folder:
        (folder / IMAGES_NAME).mkdir()
        with (folder / RECORDS_NAME).open("wb") as lines:
            for document in corpus.documents():
                try:
                    record = to_format(document, record_format)
                except ItemError as error:
                    left_out[error.reason] += 1
                    continue
                document_count += 1
                lines.write((json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
                fresh = {slot.url for slot in document.images if slot.valid} - urls
                missing_count += adopt_images(corpus.images, folder / IMAGES_NAME, sorted(fresh))
                urls |= fresh
        summary = ExportSummary(document_count, len(urls) - missing_count, missing_count, dict(left_out))
        content = {"format": str(record_format), "corpus": corpus.manifest["name"], **vars(summary)}
        write_atomically(folder / EXPORT_NAME, (json.dumps(content, indent=1) + "\n").encode())
    return summary
