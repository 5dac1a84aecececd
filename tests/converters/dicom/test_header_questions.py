"""Headers are asked about in terms of the standard only."""

from __future__ import annotations

import re

import pydicom
import pytest
from pydicom import Dataset

from domainvl.converters.dicom.header_questions import BODY_PART_CLASSES, MODALITY_CLASSES, header_questions
from domainvl.converters.dicom.headers import frame_header
from domainvl.schema import Task, TextAnswer


def header(**attributes):
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def asked(plane=None, *, shows_side=True, **attributes):
    """The answers by key."""
    questions = header_questions(header(**attributes), plane, shows_side=shows_side)
    assert len({question.key for question in questions}) == len(questions)
    return {question.key: question.answer.text for question in questions}


def test_modality_and_plane_are_asked_as_ever():
    modality, plane = header_questions(header(Modality="DX"), "axial")

    assert modality.text == (
        "Classify the image within one of the given classes: CT, MR, radiograph, mammogram, ultrasound, PET, "
        "scintigram, fluoroscopy, endoscopy, microscopy, fundus photograph, OCT."
    )
    assert (modality.key, modality.task, modality.answer) == (
        "modality",
        Task.CLASSIFICATION,
        TextAnswer(text="radiograph"),
    )
    assert (plane.key, plane.task, plane.text) == ("plane", Task.VQA, "Which plane does this image show?")
    assert plane.answer == TextAnswer(text="axial")


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS", "ignore:The value length")
@pytest.mark.parametrize(
    ("term", "part"),
    [
        ("CHEST", "chest"), ("LUNG", "chest"), ("ABDOMENPELVIS", "abdomen and pelvis"), ("CSPINE", "cervical spine"),
        ("LSSPINE", "lumbar spine"), ("WHOLEBODY", "whole body"), ("TIBIAFIBULA", "lower leg"), ("BREAST", "breast"),
        ("KNEE", "knee"), ("CHESTABDPELVIS", "chest to pelvis"),
        # As scanners write it.
        ("Thorax", "chest"), ("WHOLE BODY", "whole body"), ("C-SPINE", "cervical spine"),
        ("ABD_PELVIS", "abdomen and pelvis"), ("chest ", "chest"), ("ABDOMEN AND PELVIS", "abdomen and pelvis"),
        ("HEAD", "head"),
        # Neither a defined term nor a customary word, or one of what runs through several parts.
        ("MILLER JOHN", None), ("", None), ("EXTREMITY", None), ("AORTA", None), ("SPINE", None),
        ("CHEST OF MILLER", None),
    ],
)  # fmt: skip
def test_body_parts_are_asked_by_class(term, part):
    answers = asked(Modality="OT", BodyPartExamined=term)

    assert answers == ({} if part is None else {"body-part": part})


def test_all_classes_of_body_parts_are_listed_and_free_text_never_is():
    (question,) = header_questions(header(BodyPartExamined="ANKLE"), None)
    listed = question.text.partition(": ")[2].rstrip(".").split(", ")

    assert set(listed) == set(BODY_PART_CLASSES.values())
    assert len(listed) == len(set(listed))
    assert question.task is Task.CLASSIFICATION


# Terms of PS3.16 Annex L as others list them (Weasis, BodyPartExaminated.java), with the later FIBULA.
ANNEX_L = """
ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BLADDER BRAIN BREAST BRONCHUS BUTTOCK CALCANEUS CALF CAROTID
CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CIRCLEOFWILLIS CLAVICLE COCCYX COLON CORNEA CORONARYARTERY
CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR FINGER FOOT GALLBLADDER HAND HEAD HEADNECK
HEART HIP HUMERUS IAC ILEUM ILIUM JAW JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LSPINE LSSPINE LUNG MAXILLA MEDIASTINUM
MOUTH NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV NOSE ORBIT OVARY PANCREAS PAROTID PATELLA PELVIS PENIS PHARYNX
PROSTATE RADIUS RADIUSULNA RECTUM RIB SCALP SCAPULA SCLERA SCROTUM SHOULDER SKULL SPINE SPLEEN SSPINE STERNUM STOMACH
SUBMANDIBULAR TESTIS THIGH THUMB THYMUS THYROID TIBIA TIBIAFIBULA TLSPINE TMJ TOE TONGUE TRACHEA TSPINE ULNA URETER
URETHRA UTERUS VAGINA VULVA WHOLEBODY WRIST ZYGOMA FIBULA
""".split()


def test_every_term_is_a_defined_one():
    assert set(BODY_PART_CLASSES) <= set(ANNEX_L)
    assert len(BODY_PART_CLASSES) > 80


@pytest.mark.parametrize(
    ("modality", "position", "view"),
    [
        ("CR", "PA", "PA"), ("DX", "AP", "AP"), ("CR", "LL", "lateral"), ("DX", "RL", "lateral"),
        ("DX", "LATERAL", "lateral"), ("CR", "LLD", "lateral decubitus"), ("CR", "RLO", "oblique"),
        ("MG", "MLO", "mediolateral oblique"), ("MG", "CC", "craniocaudal"), ("MG", "XCCL", "exaggerated craniocaudal"),
        # Of another kind, unknown, or no radiograph.
        ("DX", "MLO", None), ("MG", "PA", None), ("DX", "MILLER", None), ("CT", "AP", None), ("DX", "", None),
    ],
)  # fmt: skip
def test_views_are_asked_of_what_is_projected(modality, position, view):
    assert asked(Modality=modality, ViewPosition=position).get("view") == view


def test_the_classes_of_views_are_listed():
    def text(modality, position):
        questions = header_questions(header(Modality=modality, ViewPosition=position), None, tasks={"view"})
        return questions[0].text

    assert text("DX", "PA") == (
        "Classify the view of the radiograph within one of the given classes: "
        "PA, AP, lateral, lateral decubitus, oblique."
    )
    assert text("MG", "CC").startswith(
        "Classify the view of the mammogram within one of the given classes: craniocaudal, mediolateral oblique"
    )


def test_sides_are_asked_where_there_are_two():
    assert asked(Modality="MG", ImageLaterality="L")["laterality"] == "left"
    assert asked(Modality="DX", BodyPartExamined="HAND", Laterality="R")["laterality"] == "right"
    for attributes in (
        {"Modality": "DX", "BodyPartExamined": "CHEST", "Laterality": "R"},
        {"Modality": "MR", "BodyPartExamined": "KNEE", "Laterality": "R"},
        {"Modality": "DX", "BodyPartExamined": "KNEE", "Laterality": "B"},
        {"Modality": "DX", "BodyPartExamined": "KNEE"},
        {"Modality": "DX", "Laterality": "R"},
    ):
        assert "laterality" not in asked(**attributes)
    assert "laterality" not in asked(Modality="MG", ImageLaterality="L", shows_side=False)
    questions = header_questions(header(Modality="MG", ImageLaterality="L"), None, tasks=["laterality"])
    assert questions[0].text == "Which breast does the image show, the left or the right one?"


def test_only_tasks_that_are_wanted_are_asked():
    whole = header(Modality="DX", BodyPartExamined="HAND", ViewPosition="PA", Laterality="L")

    assert [question.key for question in header_questions(whole, "axial")] == [
        "modality", "body-part", "view", "laterality", "plane"
    ]  # fmt: skip
    assert [q.key for q in header_questions(whole, "axial", tasks={"plane", "view", "presence"})] == ["view", "plane"]
    assert header_questions(whole, None, tasks=()) == []


def test_headers_of_the_wheel_give_answers_of_the_lists_only(wheel):
    found = set()
    for name in ("CT_small.dcm", "MR_small.dcm", "examples_ybr_color.dcm", "RG1_UNCR.dcm"):
        try:
            path = wheel(name)
        except AssertionError:
            continue
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        for question in header_questions(frame_header(dataset, 0), None):
            assert re.search(rf"\b{re.escape(question.answer.text)}\b", question.text)
            found.add(question.answer.text)
    assert {"CT", "MR"} <= found
    assert found <= {*MODALITY_CLASSES.values(), *BODY_PART_CLASSES.values()}
