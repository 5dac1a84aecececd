"""What the labels of each MedMNIST data set mean.

Yang et al., MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D biomedical image classification, Scientific
Data 10:41, 2023. Numbers, names and tasks are those of MedMNIST/MedMNIST, ``medmnist/info.py``; a name that lists two
things with a comma is written with "or" here, since questions list classes with commas.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class LabelKind(enum.StrEnum):
    """What a label is.

    Attributes:
        CLASS: The number of one class; ``multi-class`` and ``binary-class`` of the published table.
        GRADE: The number of one grade; ``ordinal-regression``.
        LABELS: Zeros and ones, one a label; ``multi-label``.
    """

    CLASS = "class"
    GRADE = "grade"
    LABELS = "labels"


@dataclass(frozen=True)
class MnistSet:
    """One data set.

    Attributes:
        classes: Names of its classes by number.
        kind: What its labels are.
        shows: What the images are of.
    """

    classes: tuple[str, ...]
    kind: LabelKind
    shows: str


_ORGANS = (
    "bladder",
    "femur-left",
    "femur-right",
    "heart",
    "kidney-left",
    "kidney-right",
    "liver",
    "lung-left",
    "lung-right",
    "pancreas",
    "spleen",
)
_ORGANS_3D = (
    "liver",
    "kidney-right",
    "kidney-left",
    "femur-right",
    "femur-left",
    "bladder",
    "heart",
    "lung-right",
    "lung-left",
    "spleen",
    "pancreas",
)


def _of_classes(shows: str, *classes: str) -> MnistSet:
    return MnistSet(classes, LabelKind.CLASS, shows)


SETS: Mapping[str, MnistSet] = {
    "pathmnist": _of_classes(
        "colon pathology",
        "adipose",
        "background",
        "debris",
        "lymphocytes",
        "mucus",
        "smooth muscle",
        "normal colon mucosa",
        "cancer-associated stroma",
        "colorectal adenocarcinoma epithelium",
    ),
    "chestmnist": MnistSet(
        (
            "atelectasis",
            "cardiomegaly",
            "effusion",
            "infiltration",
            "mass",
            "nodule",
            "pneumonia",
            "pneumothorax",
            "consolidation",
            "edema",
            "emphysema",
            "fibrosis",
            "pleural thickening",  # "pleural" in the table; Pleural_Thickening in NIH-ChestXray14, its source
            "hernia",
        ),
        LabelKind.LABELS,
        "chest X-ray",
    ),
    "dermamnist": _of_classes(
        "dermatoscopy",
        "actinic keratoses and intraepithelial carcinoma",
        "basal cell carcinoma",
        "benign keratosis-like lesions",
        "dermatofibroma",
        "melanoma",
        "melanocytic nevi",
        "vascular lesions",
    ),
    "octmnist": _of_classes(
        "retinal OCT", "choroidal neovascularization", "diabetic macular edema", "drusen", "normal"
    ),
    "pneumoniamnist": _of_classes("chest X-ray", "normal", "pneumonia"),
    "retinamnist": MnistSet(("0", "1", "2", "3", "4"), LabelKind.GRADE, "fundus camera"),
    "breastmnist": _of_classes("breast ultrasound", "malignant", "normal or benign"),
    "bloodmnist": _of_classes(
        "blood cell microscopy",
        "basophil",
        "eosinophil",
        "erythroblast",
        "immature granulocytes (myelocytes or metamyelocytes or promyelocytes)",
        "lymphocyte",
        "monocyte",
        "neutrophil",
        "platelet",
    ),
    "tissuemnist": _of_classes(
        "kidney cortex microscopy",
        "Collecting Duct or Connecting Tubule",
        "Distal Convoluted Tubule",
        "Glomerular endothelial cells",
        "Interstitial endothelial cells",
        "Leukocytes",
        "Podocytes",
        "Proximal Tubule Segments",
        "Thick Ascending Limb",
    ),
    "organamnist": _of_classes("abdominal CT, axial", *_ORGANS),
    "organcmnist": _of_classes("abdominal CT, coronal", *_ORGANS),
    "organsmnist": _of_classes("abdominal CT, sagittal", *_ORGANS),
    "organmnist3d": _of_classes("abdominal CT", *_ORGANS_3D),
    "nodulemnist3d": _of_classes("chest CT", "benign", "malignant"),
    "adrenalmnist3d": _of_classes("shape from abdominal CT", "normal", "hyperplasia"),
    "fracturemnist3d": _of_classes(
        "chest CT", "buckle rib fracture", "nondisplaced rib fracture", "displaced rib fracture"
    ),
    "vesselmnist3d": _of_classes("shape from brain MRA", "vessel", "aneurysm"),
    "synapsemnist3d": _of_classes("electron microscope", "inhibitory synapse", "excitatory synapse"),
}
"""By the name of the file without its size."""

GRADE_QUESTION = "What is the grade of diabetic retinopathy, from 0 (none) to 4 (proliferative)?"
"""RetinaMNIST has the grades of DeepDRiD: the international clinical scale of five (Wilkinson et al., 2003)."""
