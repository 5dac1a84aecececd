"""The rules that a data set is checked against: one table of stable codes, what each demands, and the way out."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """Whether a finding makes the data set wrong or only worth a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        code: Stable name, to count and to filter by.
        demand: What must hold.
        fix: What to do where it does not.
        severity: What a breach means.
    """

    code: str
    demand: str
    fix: str
    severity: Severity = Severity.ERROR


_REMAKE = "Make the data set again with domainvl convert"
_REMAKE_LINE = "Mend the line, or make the data set again with domainvl convert"
_REWORD = "Write the turn as the wording does, or make the data set again with domainvl convert"
_UNREADABLE = "Restore the file, or make the data set again with domainvl convert"
_CONVERTER = "Mend the label at its source and convert again"
_FETCH = "Fetch or convert the source again; the file is damaged"
_TEXT = "Remove it from the data set, or give it a pseudonym at its source, and convert again"


def _warning(code: str, demand: str, fix: str) -> Rule:
    return Rule(code, demand, fix, Severity.WARNING)


_LINE_RULES = (
    Rule("line-blank", "no line is blank", "Remove the blank line"),
    Rule("line-not-utf8", "each line is UTF-8", _REMAKE_LINE),
    Rule("line-not-json", "each line is one JSON value", _REMAKE_LINE),
    Rule("line-not-object", "each line is a JSON object", _REMAKE_LINE),
    Rule("number-not-finite", "numbers are finite; JSON has no NaN and no infinity", _REMAKE_LINE),
    _warning("line-break-missing", "the last line ends with a line break", "Add the line break; the file may be cut"),
    Rule("key-missing", "each key of the format is there", _REMAKE_LINE),
    Rule("key-unknown", "there is no key under domainvl that the format does not have", "Remove or rename the key"),
    _warning("key-extra", "beside domainvl stand the keys of InternVL only", "Remove the key if nothing reads it"),
    Rule("value-type", "each value has the type that the format gives it", _REMAKE_LINE),
    Rule("value-invalid", "each value lies among those that the format allows", _REMAKE_LINE),
    Rule("schema-version", "domainvl.schema_version is the one that this version reads", _REMAKE),
    Rule("provenance", "each sample says what made it: converter, version, settings, wording", _REMAKE),
    Rule("record-invalid", "each line is a sample by all rules of the format", _REMAKE_LINE),
)

_TURN_RULES = (
    Rule("turn-role", "turns are by human or gpt", "Name the speakers human and gpt"),
    Rule("turn-order", "turns alternate in pairs, human first", "Put the turns in order; leave no question unanswered"),
    Rule("turn-empty", "no human turn is empty", _REWORD),
    Rule("answer-empty", "no answer is empty", "Give the answer, or leave the sample out"),
    Rule("question-empty", "no question is empty", "Give the question, or leave the sample out"),
    Rule("placeholder-count", "the human turns hold one <image> an image", "Write one <image> for each image"),
    Rule("placeholder-in-answer", "no answer holds <image>", "Escape it as &lt;image&gt;"),
    Rule(
        "special-token",
        "text from outside that looks like a special token is escaped",
        "Escape it: <|im_end|> becomes &lt;|im_end|&gt;",
    ),
    _warning("wording-stale", "the conversation is what the wording writes from the truth", _REWORD),
    Rule("answer-kind", "the kind of answer is known and fits the task", _REMAKE_LINE),
    Rule("answer-object", "an answer names objects that the sample has", _CONVERTER),
    Rule("choice-index", "the right choice is one of the options", _CONVERTER),
)

_OBJECT_RULES = (
    Rule("box-form", "a box is four numbers: x_min, y_min, x_max, y_max", _CONVERTER),
    Rule("box-not-finite", "the coordinates of a box are finite", _CONVERTER),
    Rule("box-order", "x_min < x_max and y_min < y_max", "Order the corners"),
    Rule("box-bounds", "a box lies inside its image", "Clip the box to the image, and say so in visible_fraction"),
    Rule("object-id-duplicate", "the ids of a sample's objects are unique", "Give each object an id of its own"),
    Rule("object-image", "an object lies in one of the sample's images", "Give the index of its image, from 0"),
)

_SET_RULES = (
    Rule("id-duplicate", "ids are unique over all splits", "Remove the copy, or give it an id of its own"),
    Rule("split-mismatch", "a sample stands in the file of its split", "Move the line to the file of its split"),
    Rule("split-fixed", "a sample is in the split that its source fixed", "Move it to the split in fixed_split"),
    Rule("group-in-two-splits", "no group (patient, scene, log) is in two splits", "Put the whole group in one split"),
    Rule("image-in-two-splits", "no pixels are in two splits", "Keep the image in one split; group by what repeats"),
    _warning(
        "blank-image-in-two-splits",
        "no blank image is in two splits",
        "Leave blank images out, unless they are part of the task",
    ),
    _warning(
        "near-duplicate",
        "no image looks nearly like one of another split",
        "Look at both; if they show the same, put them in one group",
    ),
    Rule(
        "ground-in-two-splits",
        "no image shows ground that an image of another split shows",
        "Split by blocks of ground with a buffer, by areas, or by scenes that do not overlap",
    ),
    _warning(
        "dated-ground-in-two-splits",
        "no image shows ground that another split shows at another date",
        "Leave it so only if the split is by date and what does not change is no part of the task",
    ),
    Rule("samples-none", "there is at least one sample", _REMAKE),
)

_IMAGE_RULES = (
    Rule("image-lists", "image, width, height and domainvl.images are equally long", _REMAKE_LINE),
    Rule(
        "image-path",
        "an image path is relative, has forward slashes and stays in the folder",
        "Store the image in the data set and name it relative to its folder",
    ),
    Rule("image-missing", "each image is there", "Put the file back, or make the data set again"),
    Rule("image-empty", "no image file is empty", _FETCH),
    Rule("image-truncated", "each image decodes to its end", _FETCH),
    Rule("image-unreadable", "each image file is an image", _FETCH),
    Rule("image-too-large", "no image has more pixels than Pillow takes", "Cut it into tiles, or store it smaller"),
    Rule("image-depth", "images have 8 bits a channel", "Map the values to 8 bits; trainers cut more off in silence"),
    _warning("image-format", "images are PNG or JPEG", "Store it as PNG"),
    Rule("image-size", "width and height are those of the file", "Correct the size, and check the boxes against it"),
    Rule("image-pixels", "pixel_sha256 is the hash of the file's pixels", "Find out which of the two was changed"),
    _warning("image-folder-full", "a folder holds 1000 files at most", "Spread the images over images/ab/cd/"),
    _warning("image-unreferenced", "each file under images/ belongs to a sample", "Remove it if nothing needs it"),
)

_FILE_RULES = (
    Rule("file-missing", "each file of the format is there", _UNREADABLE),
    Rule("file-unreadable", "each file can be read and is UTF-8 text of its kind", _UNREADABLE),
    Rule("manifest-keys", "manifest.json has the keys of the format, each of its type", _REMAKE),
    Rule("manifest-counts", "manifest.json counts the samples that are there", _REMAKE),
    Rule("manifest-groups", "manifest.json counts the groups that are there", _REMAKE),
    Rule("manifest-rejects", "manifest.json counts the lines of rejects.jsonl by severity, stage and reason", _REMAKE),
    Rule("reject-line", "each line of rejects.jsonl says what was left out, where, why", _REMAKE),
    _warning("licence-missing", "the licence of the source data is known", "Convert with --licence, or ask the source"),
    Rule("meta-entry", "meta.json is InternVL's meta file and names train.jsonl", _REMAKE),
    Rule("meta-held-out", "meta.json names no held-out rows", "Let meta.json name train.jsonl only"),
    Rule("meta-length", "length in meta.json is the number of lines of train.jsonl", "Correct the length"),
    Rule("card-header", "card.md starts with a YAML header that tells the manifest's licence", "Correct the header"),
    Rule("croissant-files", "croissant.json lists each split that has samples", _REMAKE),
    Rule("croissant-sha256", "sha256 in croissant.json is that of the file", "Find out who changed the file; remake"),
)

_IDENTIFIER_RULES = (
    Rule("phi-uid", "there is no DICOM UID of a person's data", _TEXT),
    Rule("phi-person-name", "there is no name in DICOM's form FAMILY^GIVEN", _TEXT),
    Rule("phi-patient-id", "there is no patient, record or accession number", _TEXT),
    Rule("phi-date", "there is no full date, of birth or other", _TEXT),
    Rule("phi-email", "there is no e-mail address", _TEXT),
    Rule("phi-phone", "there is no telephone number", _TEXT),
    Rule("phi-user-path", "there is no path with a user's name", _TEXT),
    Rule("phi-canary", "none of the canaries is left in any file or name", _TEXT),
)

RULES: Mapping[str, Rule] = {
    rule.code: rule
    for rules in (
        _LINE_RULES,
        _TURN_RULES,
        _OBJECT_RULES,
        _IMAGE_RULES,
        _SET_RULES,
        _FILE_RULES,
        _IDENTIFIER_RULES,
    )
    for rule in rules
}
"""All rules by code, in the order in which a reader meets their subjects."""
