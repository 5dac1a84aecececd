"""Asks what the header of an image answers: modality, body part, view, side and plane.

Only terms that the standard defines are asked for: a header's free text is never an answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from pydicom import Dataset

from domainvl.schema.questions import Question
from domainvl.schema.sample import Task, TextAnswer

from ..medical.tasks import HEADER_TASKS
from .headers import text_of

MODALITY_CLASSES: Mapping[str, str] = {
    "CT": "CT",
    "MR": "MR",
    "CR": "radiograph",
    "DX": "radiograph",
    "PX": "radiograph",
    "IO": "radiograph",
    "MG": "mammogram",
    "US": "ultrasound",
    "IVUS": "ultrasound",
    "PT": "PET",
    "NM": "scintigram",
    "XA": "fluoroscopy",
    "RF": "fluoroscopy",
    "ES": "endoscopy",
    "SM": "microscopy",
    "GM": "microscopy",
    "OP": "fundus photograph",
    "OPT": "OCT",
}
"""Readable classes of Modality codes (PS3.3 C.7.3.1.1.1); other codes, such as OT, are not asked about."""

_BODY_PARTS: Mapping[str, str] = {
    "head": "HEAD BRAIN SKULL CEREBELLUM CIRCLEOFWILLIS SCALP IAC",
    "face": "FACE ORBIT EYE NOSE MOUTH CHEEK ZYGOMA MAXILLA JAW TMJ TONGUE PAROTID SUBMANDIBULAR",
    "head and neck": "HEADNECK",
    "neck": "NECK LARYNX PHARYNX THYROID CAROTID",
    "neck and chest": "NECKCHEST",
    "neck to abdomen": "NECKCHESTABDOMEN",
    "neck to pelvis": "NECKCHESTABDPELV",
    "chest": "CHEST LUNG HEART MEDIASTINUM BRONCHUS CORONARYARTERY RIB STERNUM THYMUS",
    "chest and abdomen": "CHESTABDOMEN",
    "chest to pelvis": "CHESTABDPELVIS",
    "abdomen": "ABDOMEN LIVER KIDNEY PANCREAS SPLEEN STOMACH GALLBLADDER ADRENAL DUODENUM JEJUNUM",
    "abdomen and pelvis": "ABDOMENPELVIS",
    "pelvis": "PELVIS BLADDER PROSTATE UTERUS OVARY RECTUM CERVIX VAGINA",
    "breast": "BREAST",
    "cervical spine": "CSPINE",
    "thoracic spine": "TSPINE",
    "lumbar spine": "LSPINE LSSPINE",
    "sacrum or coccyx": "SSPINE COCCYX",
    "shoulder": "SHOULDER CLAVICLE SCAPULA",
    "upper arm": "HUMERUS",
    "elbow": "ELBOW",
    "forearm": "RADIUS ULNA RADIUSULNA",
    "wrist": "WRIST",
    "hand": "HAND FINGER THUMB",
    "hip": "HIP",
    "thigh": "THIGH FEMUR",
    "knee": "KNEE PATELLA",
    "lower leg": "CALF TIBIA FIBULA TIBIAFIBULA",
    "ankle": "ANKLE",
    "foot": "FOOT TOE CALCANEUS",
    "whole body": "WHOLEBODY",
}
"""Readable classes of defined terms of BodyPartExamined (PS3.16 Annex L). An organ is asked for as the part of the body
that it lies in; terms of what runs through several, such as AORTA, SPINE or COLON, are not asked for."""

_SYNONYMS: Mapping[str, str] = {
    "THORAX": "CHEST",
    "LUNGS": "CHEST",
    "RIBS": "CHEST",
    "CARDIAC": "HEART",
    "ABD": "ABDOMEN",
    "ABDPELVIS": "ABDOMENPELVIS",
    "ABDOMENANDPELVIS": "ABDOMENPELVIS",
    "THORAXABDOMEN": "CHESTABDOMEN",
    "CHESTANDABDOMEN": "CHESTABDOMEN",
    "CHESTABDOMENPELVIS": "CHESTABDPELVIS",
    "CAP": "CHESTABDPELVIS",
    "NECKCHESTABDPELVIS": "NECKCHESTABDPELV",
    "HEADANDNECK": "HEADNECK",
    "CERVICALSPINE": "CSPINE",
    "THORACICSPINE": "TSPINE",
    "DORSALSPINE": "TSPINE",
    "LUMBARSPINE": "LSPINE",
    "LUMBOSACRALSPINE": "LSSPINE",
    "SACRUM": "SSPINE",
    "MAMMA": "BREAST",
    "FOREARM": "RADIUSULNA",
    "UPPERARM": "HUMERUS",
    "LOWERLEG": "TIBIAFIBULA",
    "HEEL": "CALCANEUS",
    "TOES": "TOE",
    "FINGERS": "FINGER",
}
"""What scanners write besides, without blanks and signs, by defined term; ours."""

BODY_PART_CLASSES: Mapping[str, str] = {term: name for name, terms in _BODY_PARTS.items() for term in terms.split()}
"""Readable class by defined term."""

_RADIOGRAPH_VIEWS: Mapping[str, str] = {
    "PA": "PA",
    "AP": "AP",
    "LL": "lateral",
    "RL": "lateral",
    "LAT": "lateral",
    "LATERAL": "lateral",
    "LLD": "lateral decubitus",
    "RLD": "lateral decubitus",
    "LLO": "oblique",
    "RLO": "oblique",
}
"""Classes of ViewPosition of radiographs (PS3.3 C.8.1.1), with LAT and LATERAL, which MIMIC-CXR and others write. Which
lateral it is, is not asked."""

_MAMMOGRAM_VIEWS: Mapping[str, str] = {
    "CC": "craniocaudal",
    "MLO": "mediolateral oblique",
    "ML": "mediolateral",
    "LM": "lateromedial",
    "LMO": "lateromedial oblique",
    "XCC": "exaggerated craniocaudal",
    "XCCL": "exaggerated craniocaudal",
    "XCCM": "exaggerated craniocaudal",
}
"""Classes of views of mammograms, by the codes of PS3.16 CID 4014 as ViewPosition has them."""

_VIEWS: Mapping[str, Mapping[str, str]] = {
    "CR": _RADIOGRAPH_VIEWS,
    "DX": _RADIOGRAPH_VIEWS,
    "MG": _MAMMOGRAM_VIEWS,
}

_PAIRED = frozenset(
    {
        "breast",
        "shoulder",
        "upper arm",
        "elbow",
        "forearm",
        "wrist",
        "hand",
        "hip",
        "thigh",
        "knee",
        "lower leg",
        "ankle",
        "foot",
    }
)
_SIDES: Mapping[str, str] = {"L": "left", "R": "right"}

_CLASSIFY = "Classify the image within one of the given classes: {}."
MODALITY_QUESTION = _CLASSIFY.format(", ".join(dict.fromkeys(MODALITY_CLASSES.values())))
PLANE_QUESTION = "Which plane does this image show?"


def header_questions(
    header: Dataset, plane: str | None, *, tasks: Collection[str] = HEADER_TASKS, shows_side: bool = True
) -> list[Question]:
    """Ask what a header answers; the key of each question is the name of its task.

    Args:
        header: The allow-listed part of a header.
        plane: ``"axial"``, ``"coronal"`` or ``"sagittal"``; None where there is none to name.
        tasks: Names of tasks; others than those of :data:`~..medical.tasks.HEADER_TASKS` are passed over.
        shows_side: Whether the image still shows which side of the body it is of: not if it was mirrored to face one
            way.
    """
    answers = _answers(header, plane, shows_side)
    return [Question(key, task, text, TextAnswer(text=answer)) for key, task, text, answer in answers if key in tasks]


def _answers(header: Dataset, plane: str | None, shows_side: bool) -> Iterator[tuple[str, Task, str, str]]:
    modality = text_of(header, "Modality")
    if modality in MODALITY_CLASSES:
        yield "modality", Task.CLASSIFICATION, MODALITY_QUESTION, MODALITY_CLASSES[modality]
    part = body_part_of(header)
    if part is not None:
        text = f"Classify the part of the body in the image within one of the given classes: {', '.join(_BODY_PARTS)}."
        yield "body-part", Task.CLASSIFICATION, text, part
    views = _VIEWS.get(modality, {})
    view = views.get(text_of(header, "ViewPosition").upper())
    if view is not None:
        listed = ", ".join(dict.fromkeys(views.values()))
        text = f"Classify the view of the {MODALITY_CLASSES[modality]} within one of the given classes: {listed}."
        yield "view", Task.CLASSIFICATION, text, view
    side = _side(header, modality, part) if shows_side else None
    if side is not None:
        text = f"Which {'breast' if modality == 'MG' else part} does the image show, the left or the right one?"
        yield "laterality", Task.VQA, text, side
    if plane is not None:
        yield "plane", Task.VQA, PLANE_QUESTION, plane


def body_part_of(header: Dataset) -> str | None:
    """Return the part of the body as a readable class; None where the header has no term that is known."""
    term = re.sub(r"[^A-Z]", "", text_of(header, "BodyPartExamined").upper())
    return BODY_PART_CLASSES.get(_SYNONYMS.get(term, term))


def _side(header: Dataset, modality: str, part: str | None) -> str | None:
    """Return the side of a mammogram, or of a radiograph of one of two limbs."""
    if modality not in _VIEWS or not (modality == "MG" or part in _PAIRED):
        return None
    return _SIDES.get(text_of(header, "ImageLaterality") or text_of(header, "Laterality"))
