"""GeoChat-Instruct: 318,000 conversations about aerial and satellite images, many with rotated boxes.

Kuckreja et al., GeoChat: Grounded Large Vision-Language Model for Remote Sensing, CVPR 2024. Read as published
(MBZUAI/GeoChat_Instruct on Hugging Face): ``GeoChat_Instruct.json`` in LLaVA's layout, and the images where the
archive puts them. It is a training set without splits.

Rounds are told apart by their tag (mbzuai-oryx/GeoChat, geochat/eval/batch_geochat_grounding.py and _referring.py):

- ``[refer] where is <p>two ships</p> ?`` answered by boxes alone is grounding: "Detect <ref>two ships</ref>".
- ``[identify] the object in {<..>} is`` is region naming: "What object is in this location<box>...</box>".
- ``[grounding] describe the image`` and any other text with boxes stays free text, with InternVL's marks in it.
- "Answer in one word or a short phrase." makes a short question of a round, "Classify the given image" a class.

What is assumed about the boxes is said in :mod:`domainvl.converters.benchmarks.rotated_text`; the file's own text stays
in the details of the image. The angle bears on ``oriented_box_px`` alone, not on the boxes that a model is taught.

Images of DOTA and FAIR1M are patches of large scenes, named SCENE_0001.png and so on (``P1419_0005``,
``train_2956_0001``): the scene is the group, for neighbouring patches may overlap. Every other image is its own group.
Some images are also in test sets of other benchmarks, DIOR's among them; ``domainvl merge`` finds equal pixels.
"""

from __future__ import annotations

import enum
import re
from pathlib import Path, PurePosixPath

from pydantic import Field

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import NothingToDoError
from domainvl.schema.images import ImageStore
from domainvl.schema.sample import BoxesAnswer, Provenance, Task
from domainvl.schema.writer import Reject

from .conversations import ImageUnit, by_image, convert_unit, missing_image, split_tag
from .llava_json import TRAIN, find_images, read_rows
from .marked_text import MarkedText, Round, clean_name, find_marked_names, is_boxes_alone
from .reading import check_input
from .rotated_text import GEOCHAT, GEOCHAT_CLOCKWISE, find_boxes

_ARCHIVE = "share/softwares/kartik/GeoChat_finetuning/final_images_llava"
"""Where images.zip has its images."""

_FOLDERS = (_ARCHIVE, f"images/{_ARCHIVE}", "final_images_llava", "images", "share_images", ".")
_REGION = "What object is in this location?"
_PATCH = re.compile(r"(P\d+|(?:train|val|test)_\d+)_\d{4}")


class Turning(enum.StrEnum):
    """To which side the angle of a box turns it, on screen."""

    COUNTER_CLOCKWISE = "counter-clockwise"
    CLOCKWISE = "clockwise"


class GeoChatSettings(ConverterSettings):
    """Settings of the GeoChat-Instruct converter."""

    plan_fields = frozenset({"annotations", "images"})

    annotations: str = Field(default="GeoChat_Instruct.json", description="The JSON file, below the input.")
    images: str | None = Field(
        default=None, description="Folder of the images, below the input; where the archive puts them if left out."
    )
    angle: Turning = Field(
        default=Turning.COUNTER_CLOCKWISE,
        description="To which side a box's angle turns it; undocumented, GeoChat's demo draws counter-clockwise.",
    )


class GeoChatConverter:
    """Turns GeoChat-Instruct into samples, one a conversation."""

    name = "geochat"
    summary = "GeoChat-Instruct: LLaVA JSON with task tags and rotated boxes, and its images."
    settings_type = GeoChatSettings
    licence = "Apache-2.0"  # of MBZUAI/GeoChat_Instruct; its images come from sets with licences of their own

    def plan(self, source: Path, settings: GeoChatSettings) -> Plan[ImageUnit]:
        """Read the JSON file and gather the conversations by image.

        Raises:
            InputNotFoundError: If the file or the folder of images is missing.
            DatasetError: If the file is no JSON list.
            NothingToDoError: If no conversation can be used.
        """
        layout = "GeoChat_Instruct.json and the images"
        check_input(source, [settings.annotations], benchmark="GeoChat-Instruct", layout=layout)
        annotations = source / settings.annotations
        rejects: list[Reject] = []
        images = by_image(read_rows(annotations, TRAIN, rejects))
        if not images:
            raise NothingToDoError("Nothing to convert", where=annotations, rule="no row of it can be used")
        folder = find_images(source, list(images), _FOLDERS, settings.images)
        units = []
        for image, rows in images.items():
            path = folder / image
            if path.is_file():
                uri = path.relative_to(source).as_posix()
                units.append(ImageUnit(uri, path, _group_of(image), (), tuple(rows)))
            else:
                rejects.append(missing_image(image, rows))
        if not units:
            raise NothingToDoError(
                "Nothing to convert", where=folder, rule=f"none of {len(images)} named images is there"
            )
        return Plan(units, {settings.annotations: annotations} | {unit.uri: unit.path for unit in units}, rejects)

    def convert(
        self, unit: ImageUnit, settings: GeoChatSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Store the image and word the conversations about it."""
        notation = GEOCHAT_CLOCKWISE if settings.angle is Turning.CLOCKWISE else GEOCHAT
        return convert_unit(unit, images, provenance, prefix=self.name, notation=notation, read_round=_read_round)

    def unit_name(self, unit: ImageUnit) -> str:
        """Name a unit by its image; the names hold no identifiers."""
        return unit.uri

    def unit_files(self, unit: ImageUnit) -> list[Path]:
        """Name the image; what the JSON file says about it stands in the unit."""
        return [unit.path]


CONVERTER = GeoChatConverter()


def _group_of(image: str) -> str:
    path = PurePosixPath(image)
    patch = _PATCH.fullmatch(path.stem)
    return image if patch is None else (path.parent / patch[1]).as_posix()


def _read_round(question: str, answer: str, marks: MarkedText) -> Round:
    tag, rest = split_tag(question)
    names = find_marked_names(rest)
    if tag == "refer" and len(names) == 1 and not find_boxes(rest) and is_boxes_alone(answer):
        return Round(Task.GROUNDING, names[0], BoxesAnswer(object_ids=marks.read_boxes(answer, names[0])))
    if tag == "identify" and len(find_boxes(rest)) == 1 and not find_boxes(answer):
        return Round(Task.REGION, _REGION, BoxesAnswer(object_ids=marks.read_boxes(rest, clean_name(answer))))
    return marks.free_round(rest, answer)
