"""The data set: what a sample is, how it is asked, and how it lies on disk. Imports no torch."""

from domainvl.schema.boxes import Box, Box1000, Point, to_box_1000, to_box_px
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import ObjectQuestions, Question, ask_about_objects, samples_from_questions
from domainvl.schema.reader import SampleFile, read_manifest, read_samples
from domainvl.schema.sample import (
    Answer,
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    Image,
    Object,
    OrientedBox,
    Provenance,
    Sample,
    Source,
    Split,
    Task,
    TextAnswer,
    Turn,
)
from domainvl.schema.splitting import SplitFractions, assign_split
from domainvl.schema.wording import WORDING_VERSION, escape_special, word
from domainvl.schema.writer import DatasetWriter, Reject, Severity

__all__ = [
    "WORDING_VERSION",
    "Answer",
    "Box",
    "Box1000",
    "BoxesAnswer",
    "ChoiceAnswer",
    "CountAnswer",
    "DatasetWriter",
    "Image",
    "ImageStore",
    "Object",
    "ObjectQuestions",
    "OrientedBox",
    "Point",
    "Provenance",
    "Question",
    "Reject",
    "Sample",
    "SampleFile",
    "Severity",
    "Source",
    "Split",
    "SplitFractions",
    "StoredImage",
    "Task",
    "TextAnswer",
    "Turn",
    "ask_about_objects",
    "assign_split",
    "escape_special",
    "read_manifest",
    "read_samples",
    "samples_from_questions",
    "to_box_1000",
    "to_box_px",
    "word",
]
