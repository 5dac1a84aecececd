"""The de-identification log is checked against its schema, and claims no more than was done."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from domainvl.converters.dicom.privacy.log import DATES, IDENTIFIERS, DeidentificationLog, PixelActions

LOG = {
    "options": (IDENTIFIERS, DATES["drop"]),
    "attributes_kept": 60,
    "tool": "domainvl 0.1.0",
    "patient_identity_removed": False,
}


def test_med_62_the_log_of_a_unit_survives_the_manifest():
    log = DeidentificationLog(**LOG, pixels=PixelActions(kept=3, searched=1), text_replacements={"NAME": 2})
    facts = json.loads(json.dumps(log.to_facts()))["deidentification"]

    assert DeidentificationLog.model_validate(facts) == log
    assert facts["profile"].startswith("PS3.15 E.1")
    assert facts["pixels"]["kept"] == 3 and facts["text_replacements"] == {"NAME": 2}


@pytest.mark.parametrize(
    ("pixels", "face_risk", "allowed"),
    [
        (PixelActions(kept=2), False, False),
        (PixelActions(kept=2, searched=1), False, False),
        (PixelActions(kept=2, searched=2), False, True),
        (PixelActions(kept=2, searched=2), True, False),
        (PixelActions(kept=2, searched=2, blurred=2), True, True),
        (PixelActions(cropped=2, blanked=2), False, True),
        (PixelActions(quarantined=5), False, True),
        (PixelActions(allowed=1, searched=1), False, False),
    ],
)
def test_med_62_identity_is_never_said_to_be_removed_where_pixels_were_not_handled(pixels, face_risk, allowed):
    content = LOG | {"pixels": pixels, "face_risk": face_risk, "patient_identity_removed": True}
    if allowed:
        assert DeidentificationLog(**content).patient_identity_removed
    else:
        with pytest.raises(ValidationError, match="patient_identity_removed"):
            DeidentificationLog(**content)


@pytest.mark.parametrize(
    "wrong", [{"profile": "none"}, {"options": ()}, {"tool": "other 1"}, {"attributes_kept": -1}, {"PatientName": "A"}]
)
def test_med_62_a_log_of_another_form_is_refused(wrong):
    with pytest.raises(ValidationError):
        DeidentificationLog(**{**LOG, "pixels": PixelActions(), **wrong})
