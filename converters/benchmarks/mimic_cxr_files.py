"""The tables and folders of MIMIC-CXR and MIMIC-CXR-JPG, joined study by study.

Johnson et al., MIMIC-CXR, a de-identified publicly available database of chest radiographs with free-text reports,
Scientific Data 6:317, 2019; MIMIC-CXR-JPG, arXiv 1901.07042. On PhysioNet the tables are called
``mimic-cxr-2.0.0-metadata.csv.gz`` (``dicom_id,subject_id,study_id,...,ViewPosition,...``), ``-split``
(``dicom_id,study_id,subject_id,split`` with train, validate and test), ``-chexpert`` and ``-negbio``
(``subject_id,study_id`` and 14 labels: 1, 0, -1 for uncertain, empty for not mentioned). Images lie in
``files/p10/p10000032/s50414267/DICOM_ID.jpg`` (or ``.dcm``), reports in ``files/p10/p10000032/s50414267.txt``.

Subject, study and image numbers are those of people, even if nobody can look them up without a licence to the data:
nothing here puts one into a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from domainvl.errors import DatasetError, InputNotFoundError

from ..tables import read_rows

METADATA, SPLIT, CHEXPERT, NEGBIO = "metadata", "split", "chexpert", "negbio"

SPLITS = {"train": "train", "validate": "val", "test": "test"}
"""The official splits, as they are called here."""

LABELS = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Enlarged Cardiomediastinum": "enlarged cardiomediastinum",
    "Fracture": "fracture",
    "Lung Lesion": "lung lesion",
    "Lung Opacity": "lung opacity",
    "No Finding": "no finding",
    "Pleural Effusion": "pleural effusion",
    "Pleural Other": "pleural abnormality other than effusion",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Support Devices": "support devices",
}
"""The labels of both labellers (Irvin et al., CheXpert, AAAI 2019), as questions call them."""

_TRUTH = {"1.0": True, "1": True, "0.0": False, "0": False}
_NUMBER = re.compile(r"\d{1,12}")
_IMAGE_NAME = re.compile(r"[0-9A-Za-z-]{1,64}")
_ENDINGS = (".csv", ".csv.gz")


@dataclass(frozen=True)
class ImageRow:
    """One image of the table of metadata, with its official split.

    Attributes:
        dicom_id: Its name.
        subject_id: The patient.
        study_id: The study.
        view: ViewPosition, or empty.
        official_split: Its split; empty where the table of splits does not have it.
        name: Names it in a reject: the row of the table.
    """

    dicom_id: str
    subject_id: str
    study_id: str
    view: str
    official_split: str
    name: str

    @property
    def folder(self) -> str:
        """The folder of its study, below the folder of the data."""
        return f"files/p{self.subject_id[:2]}/p{self.subject_id}/s{self.study_id}"


def find_table(folder: Path, part: str, *, needed: bool) -> Path | None:
    """Find one of the tables.

    Args:
        folder: The input.
        part: Which, such as ``"metadata"``.
        needed: Whether it must be there.

    Raises:
        InputNotFoundError: If it must and is not.
    """
    found = sorted(path for ending in _ENDINGS for path in folder.glob(f"mimic-cxr-*-{part}{ending}"))
    if found:
        return found[0]
    if needed:
        raise InputNotFoundError(
            "Cannot read MIMIC-CXR",
            where=folder,
            rule=f"mimic-cxr-2.0.0-{part}.csv is missing, packed or not",
            action="Name the folder that holds the tables of MIMIC-CXR-JPG and files/",
        )
    return None


def read_images(metadata: Path, split: Path) -> tuple[list[ImageRow], int]:
    """Read the tables of metadata and of splits.

    Returns:
        The images, and the number of rows that cannot be used.

    Raises:
        DatasetError: If a table is not in the layout.
    """
    rows = _rows(split, ("dicom_id", "subject_id", "split"))
    splits = {row["dicom_id"]: SPLITS.get(row["split"], "") for _, row in rows}
    images: list[ImageRow] = []
    bad = 0
    rows = _rows(metadata, ("dicom_id", "subject_id", "study_id", "ViewPosition"))
    for number, row in rows:
        names = row["dicom_id"], row["subject_id"], row["study_id"]
        # They become parts of a path.
        if not _IMAGE_NAME.fullmatch(names[0]) or not all(_NUMBER.fullmatch(name) for name in names[1:]):
            bad += 1
            continue
        view = row["ViewPosition"].upper()
        images.append(ImageRow(*names, view, splits.get(names[0], ""), f"metadata row {number}"))
    return images, bad


def read_labels(path: Path) -> dict[str, tuple[tuple[str, bool], ...]]:
    """Read what a labeller found in the report of each study.

    Returns:
        By study: each label that is certain (1 or 0) and whether it is there.

    Raises:
        DatasetError: If the table is not in the layout.
    """
    labels = {}
    for _, row in _rows(path, ("subject_id", "study_id", *LABELS)):
        known = [(name, _TRUTH[row[column]]) for column, name in LABELS.items() if row[column] in _TRUTH]
        labels[row["study_id"]] = tuple(known)
    return labels


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield number and cells of the rows of a table, packed or not."""
    lines = read_rows(path, partial(_unreadable, path))
    _, columns = next(lines, (1, []))
    missing = [column for column in needed if column not in columns]
    if missing:
        raise _unreadable(path, f"column {missing[0]} is missing")
    places = {column: columns.index(column) for column in needed}
    for number, cells in lines:
        yield number, {column: cells[place] if place < len(cells) else "" for column, place in places.items()}


def _unreadable(path: Path, rule: str) -> DatasetError:
    return DatasetError("Unreadable file", where=path, rule=rule, action="Fetch the file again")
