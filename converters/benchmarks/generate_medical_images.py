"""Makes small inputs in the exact layouts of MedMNIST, ISIC's challenges and MIMIC-CXR, to try the converters on."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from .med_mnist_classes import SETS, LabelKind
from .mimic_cxr_files import LABELS

_SPLITS = ("train", "val", "test")
_ISIC_2019 = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
_MIMIC_COLUMNS = (
    "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns",
    "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)  # fmt: skip
_REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with shortness of breath.

 FINDINGS:

 There is {finding}.  The cardiomediastinal
 silhouette is normal.

 IMPRESSION:

 {impression}.
"""


def generate_med_mnist(
    out: Path, names: Sequence[str] = ("pathmnist",), *, image_count: int = 12, seed: int = 0
) -> None:
    """Write MedMNIST files: ``NAME.npz`` with images and labels of three splits.

    Args:
        out: Folder, made where it is missing.
        names: Names of the files without ``.npz``; a size may follow, as in ``pathmnist_64``.
        image_count: Images of the training split; the others have a third of that.
        seed: Equal seeds give equal files.
    """
    rng = np.random.default_rng([seed, 73])
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        stem, _, size = name.partition("_")
        side = int(size or 28)
        published = SETS[stem]
        shape = (side,) * 3 if stem.endswith("3d") else (side, side, 3) if stem in _COLOUR else (side, side)
        arrays: dict[str, npt.NDArray[np.uint8]] = {}
        for split in _SPLITS:
            count = image_count if split == "train" else max(1, image_count // 3)
            arrays[f"{split}_images"] = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
            several = published.kind is LabelKind.LABELS
            size_of_labels = (count, len(published.classes)) if several else (count, 1)
            limit = 2 if several else len(published.classes)
            arrays[f"{split}_labels"] = rng.integers(0, limit, size_of_labels, dtype=np.uint8)
        np.savez_compressed(out / f"{name}.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub takes no mapping


_COLOUR = ("pathmnist", "dermamnist", "retinamnist", "bloodmnist")


def generate_isic(out: Path, *, image_count: int = 18, seed: int = 0) -> None:
    """Write what ISIC 2019 publishes: ``*_GroundTruth.csv``, ``*_Metadata.csv`` and a folder of JPEG images.

    Args:
        out: Folder, made where it is missing.
        image_count: Number of images; each lesion has two.
        seed: Equal seeds give equal files.
    """
    rng = np.random.default_rng([seed, 19])
    folder = out / "ISIC_2019_Training_Input"
    folder.mkdir(parents=True, exist_ok=True)
    truth, metadata = [], []
    for number in range(image_count):
        name = f"ISIC_{number:07d}"
        _save(folder / f"{name}.jpg", rng)
        place = number % (len(_ISIC_2019) - 1)
        truth.append([name, *(f"{float(column == place):.1f}" for column in range(len(_ISIC_2019)))])
        metadata.append([name, "55.0", "anterior torso", f"LESION_{number // 2:05d}", "female"])
    _write(out / "ISIC_2019_Training_GroundTruth.csv", ["image", *_ISIC_2019], truth)
    columns = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    _write(out / "ISIC_2019_Training_Metadata.csv", columns, metadata)


def generate_mimic_cxr(out: Path, *, subject_count: int = 6, seed: int = 0, dicom: bool = False) -> None:
    """Write MIMIC-CXR-JPG: tables, reports and JPEG images of two views a study; nothing in it is of a person.

    Args:
        out: Folder, made where it is missing.
        subject_count: Number of subjects with one study each; the last is for testing, the one before for validation.
        seed: Equal seeds give equal files.
        dicom: Write images as DICOM files, as MIMIC-CXR has them.
    """
    rng, names = (np.random.default_rng([seed, 74, stream]) for stream in range(2))
    metadata, splits, labels = [], [], []
    for number in range(subject_count):
        subject, study = 10000032 + 11 * number, 50414267 + 17 * number
        folder = out / "files" / f"p{str(subject)[:2]}" / f"p{subject}"
        (folder / f"s{study}").mkdir(parents=True, exist_ok=True)
        split = {subject_count - 1: "test", subject_count - 2: "validate"}.get(number, "train")
        for view in (("PA", "AP")[number % 2], "LATERAL"):
            name = "-".join(f"{part:08x}" for part in names.integers(0, 2**32, 5))
            if dicom:
                _save_dicom(folder / f"s{study}" / f"{name}.dcm", rng, view)
            else:
                _save(folder / f"s{study}" / f"{name}.jpg", rng, grey=True)
            metadata.append([name, subject, study, "CHEST (PA AND LAT)", view, 24, 24, "21800506", "213014.531"])
            splits.append([name, study, subject, split])
        is_ill = number % 2 == 0
        report = _REPORT.format(
            finding="a right pleural effusion" if is_ill else "no pleural effusion",
            impression="Right pleural effusion" if is_ill else "No acute cardiopulmonary process",
        )
        (folder / f"s{study}.txt").write_text(report, encoding="utf-8")
        values = (
            {"Pleural Effusion": "1.0", "Pneumothorax": "0.0", "Edema": "-1.0"} if is_ill else {"No Finding": "1.0"}
        )
        labels.append([subject, study, *(values.get(column, "") for column in LABELS)])
    _write(out / "mimic-cxr-2.0.0-metadata.csv", _MIMIC_COLUMNS, [row + [""] * 3 for row in metadata])
    _write(out / "mimic-cxr-2.0.0-split.csv", ["dicom_id", "study_id", "subject_id", "split"], splits)
    for labeller in ("chexpert", "negbio"):
        _write(out / f"mimic-cxr-2.0.0-{labeller}.csv", ["subject_id", "study_id", *LABELS], labels)


def _save(path: Path, rng: np.random.Generator, *, grey: bool = False) -> None:
    pixels = rng.integers(0, 256, (24, 24) if grey else (24, 24, 3), dtype=np.uint8)
    PillowImage.fromarray(pixels).save(path, quality=90)


def _save_dicom(path: Path, rng: np.random.Generator, view: str) -> None:
    """Write 12-bit values that are dark where they are high, as film is (MONOCHROME1)."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.ViewPosition = "CR", view
    dataset.PhotometricInterpretation = "MONOCHROME1"
    dataset.SamplesPerPixel, dataset.Rows, dataset.Columns = 1, 24, 24
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelData = rng.integers(0, 4096, (24, 24), dtype=np.uint16).tobytes()
    dataset.save_as(path, enforce_file_format=True)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
