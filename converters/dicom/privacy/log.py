"""The de-identification log: what was done to one unit, in a form that can be checked (PS3.15 E.1, MED-62)."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Profile: TypeAlias = Literal["PS3.15 E.1 Basic Profile, as an allow-list"]

PROFILE: Profile = "PS3.15 E.1 Basic Profile, as an allow-list"
"""Every attribute that is not named in the allow-list is removed, which takes away all that the profile does."""

IDENTIFIERS = "identifiers replaced by keyed hashes"
DATES = {"drop": "dates removed", "shift": "dates moved by a keyed number of days (PS3.15 E.3.6)"}
BURNT_IN = {"quarantine": "images with suspected burnt-in text left out", "allow": "burnt-in text allowed"}
FACES = "fronts of heads blurred (PS3.15 E.3.2)"


class PixelActions(BaseModel):
    """What became of the images of a unit, counted; an image may be in several.

    Attributes:
        kept: Written with their pixels as they are, because no rule of the header suspects text.
        quarantined: Left out because of the header, or of an overlay that was drawn and not searched.
        quarantined_by_text: Left out because text was found in the pixels, or in those of others of the file or stack.
        cropped: Cut to the regions of ultrasound.
        blanked: Blanked outside of these regions.
        blurred: With the front of the head blurred.
        searched: Searched for text in the pixels.
        allowed: Written although text is suspected or was found, because the settings say so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kept: int = Field(default=0, ge=0)
    quarantined: int = Field(default=0, ge=0)
    quarantined_by_text: int = Field(default=0, ge=0)
    cropped: int = Field(default=0, ge=0)
    blanked: int = Field(default=0, ge=0)
    blurred: int = Field(default=0, ge=0)
    searched: int = Field(default=0, ge=0)
    allowed: int = Field(default=0, ge=0)


class DeidentificationLog(BaseModel):
    """What was done to one unit.

    Attributes:
        profile: The profile of the standard.
        options: Options of the profile and of the converter that were in force, in words.
        pixels: What became of images.
        attributes_kept: Number of attributes of the allow-list that were read.
        text_replacements: Replacements in report text, by kind.
        face_risk: Whether images that may show a face were written.
        tool: Name and version of the program.
        patient_identity_removed: What PatientIdentityRemoved (0012,0062) may say. Never true where an image was written
            whose pixels are neither searched for text, cut to safe regions, nor free of every suspicion in the header,
            and never where a face may be seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Profile = PROFILE
    options: tuple[str, ...] = Field(min_length=1)
    pixels: PixelActions
    attributes_kept: int = Field(ge=0)
    text_replacements: dict[str, int] = Field(default_factory=dict)
    face_risk: bool = False
    tool: str = Field(pattern=r"^domainvl \S+$")
    patient_identity_removed: bool

    @model_validator(mode="after")
    def _check_claim(self) -> Self:
        if self.patient_identity_removed and not may_claim_removal(self.pixels, face_risk=self.face_risk):
            raise ValueError("patient_identity_removed cannot be true: pixels were written that may show the patient")
        return self

    def to_facts(self) -> dict[str, JsonValue]:
        """Return the log as the manifest holds it."""
        facts: dict[str, JsonValue] = self.model_dump(mode="json")
        return {"deidentification": facts}


def may_claim_removal(pixels: PixelActions, *, face_risk: bool) -> bool:
    """Whether PatientIdentityRemoved may be said of a unit.

    It may where every image that was written was searched for text, or was cut to regions and blanked around them; the
    header alone proves nothing (BurnedInAnnotation is mostly absent). A face that was not blurred is an identity.

    Args:
        pixels: What became of the images.
        face_risk: Whether images that may show a face were written.
    """
    written = pixels.kept + pixels.allowed + pixels.cropped
    handled = pixels.searched >= pixels.kept + pixels.allowed
    return handled and pixels.allowed == 0 and not (face_risk and pixels.blurred < written)
