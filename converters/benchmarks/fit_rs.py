"""FIT-RS: fine-grained instructions about aerial images, with rotated boxes and relations between objects.

Luo et al., SkySenseGPT: A Fine-Grained Instruction Tuning Dataset and Model for Remote Sensing Vision-Language
Understanding, arXiv 2406.10100. Read as published (ll-13/FIT-RS on Hugging Face): training files in LLaVA's layout
(``FIT-RS-train-1415k.json``, its sampled subset, or the files of each task), the benchmarks FIT-RSFG
(``test_FITRS_*_eval.jsonl``) and FIT-RSRC (``FIT-RSRC_Questions_2k.jsonl``), and images of 512 px named
``SCENE__512__X___Y.png`` (``0505__512__2884___5768.png``). The 100,000 questions that Mini-InternVL was trained on
(``fit_rs_vqa_100k.jsonl``) are read too.

Boxes are centre and sides, whatever they look like; see :mod:`domainvl.converters.benchmarks.rotated_text`. Rounds:

- ``[detection]`` with "There are 3 ships in the image: <rbox>(...)</rbox>" is grounding: "Detect <ref>ship</ref>". An
  answer that names the number but not all boxes, because there were too many, stays free text.
- A question of FIT-RSRC is multiple choice. Its options come in several orders (CircularEval), each row being one.
- The other tags ask for relations and scene graphs; they stay free text, with InternVL's marks and FIT-RS's ``<rel>``.

A file is a test file where its name says so (test, eval, RSRC); what is trained on is divided into training and
validation by scene. Windows of one scene overlap, so that a scene of a test file is not trained on.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path

from pydantic import Field

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema.images import ImageStore
from domainvl.schema.sample import BoxesAnswer, ChoiceAnswer, Provenance, Task
from domainvl.schema.wording import option_letter
from domainvl.schema.writer import Reject

from .conversations import ImageUnit, by_image, convert_unit, missing_image, split_tag
from .llava_json import TEST, TRAIN, Row, find_images, read_rows
from .marked_text import MarkedText, Round, has_marks, is_boxes_alone
from .official_splits import Leakage, OfficialSplits, group_of
from .reading import check_input
from .rotated_text import FIT_RS, find_boxes

_FOLDERS = (
    "imgv2_split_512_100_vaild",
    "FIT-RS_Img/imgv2_split_512_100_vaild",
    "FIT-RS_Image/imgv2_split_512_100_vaild",
    "FIT-RS_Instruction/FIT-RS_Img/imgv2_split_512_100_vaild",
    "Images",
    "FIT-RSRC/Images",
    "images",
    ".",
)
_IS_TEST = re.compile(r"(?:^|[^a-z])(?:test|eval)(?:[^a-z]|$)|rsrc", re.IGNORECASE)
_WHOLE = re.compile(r"FIT-RS-train-", re.IGNORECASE)
"""Begins the names of the files that hold the questions of all tasks."""

_COUNTED = re.compile(r"There (?:is|are) (?P<count>\d+) (?P<name>[^:]+?) in the image\s*:\s*(?P<boxes>.*)", re.DOTALL)
_WANTED = re.compile(r"\ball (?:the )?(?P<name>\w+?)s(?: objects)? (?:in|and|present|that)\b")
_NONE = re.compile(r"I'm sorry, I cannot answer as the given image does not contain any given objects\.?")
_OPTION = re.compile(r"^\s*\(?([A-E])[.):]\s*(.+?)\s*$", re.MULTILINE)
_CHOICE_REQUEST = re.compile(r"(?:please )?(?:answer|choose|select)\b", re.IGNORECASE)
_LETTER = re.compile(r"\(?([A-E])(?:[.):].*)?", re.DOTALL)


class FitRsSettings(ConverterSettings):
    """Settings of the FIT-RS converter."""

    plan_fields = frozenset({"annotations", "images", "leakage"})

    test_fraction: float = Field(
        default=0.0, ge=0.0, le=0.0, description="Always 0: the test split is what the test files hold."
    )
    annotations: str | None = Field(
        default=None,
        description="Files of questions below the input, with commas between; all that are there if left out.",
    )
    images: str | None = Field(
        default=None, description="Folder of the images, below the input; where the archives put them if left out."
    )
    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Scenes of both training and test files: leave out their training questions, leave out their test "
        "questions, or keep the published split.",
    )


class FitRsConverter:
    """Turns FIT-RS into samples, one a conversation."""

    name = "fit-rs"
    summary = "FIT-RS, FIT-RSFG and FIT-RSRC: instructions with rotated boxes, test files held out."
    settings_type = FitRsSettings
    licence = "CC-BY-NC-4.0"  # of ll-13/FIT-RS

    def plan(self, source: Path, settings: FitRsSettings) -> Plan[ImageUnit]:
        """Read the files of questions and gather the conversations by image.

        Raises:
            InputNotFoundError: If there is no such file, or no folder of images.
            UsageError: If files hold the same questions.
            DatasetError: If a file is not JSON in the published layout.
            NothingToDoError: If no conversation can be used.
        """
        files = _files(source, settings.annotations)
        rejects: list[Reject] = []
        rows = [row for name, path in files.items() for row in read_rows(path, _split_of(name), rejects)]
        shared = OfficialSplits(settings.leakage, rejects, things="scenes", rows="rows")
        rows = _kept(rows, shared)
        images, splits = by_image(rows), _splits_of_scenes(rows)
        if not images:
            raise NothingToDoError("Nothing to convert", where=source, rule=f"no row can be used of {', '.join(files)}")
        folder = find_images(source, list(images), _FOLDERS, settings.images)
        units: list[ImageUnit] = []
        for image, rows_of_image in images.items():
            path = folder / image
            if path.is_file():
                units += _units(path.relative_to(source).as_posix(), path, rows_of_image, splits[_scene_of(image)])
            else:
                rejects.append(missing_image(image, rows_of_image))
        if not units:
            raise NothingToDoError("Nothing to convert", where=folder, rule=f"none of {len(images)} images is there")
        return Plan(units, files | {unit.uri: unit.path for unit in units}, rejects, shared.notes())

    def convert(
        self, unit: ImageUnit, settings: FitRsSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Store the image and word the conversations about it."""
        return convert_unit(unit, images, provenance, prefix=self.name, notation=FIT_RS, read_round=_read_round)

    def unit_name(self, unit: ImageUnit) -> str:
        """Name a unit by its image; the names hold no identifiers."""
        return unit.uri

    def unit_files(self, unit: ImageUnit) -> list[Path]:
        """Name the image; what the files of questions say about it stands in the unit."""
        return [unit.path]


CONVERTER = FitRsConverter()


def _files(source: Path, given: str | None) -> dict[str, Path]:
    """Find the files of questions; by their path below the input, in order.

    Raises:
        InputNotFoundError: If there is none.
        UsageError: If one holds the questions of another.
    """
    if given is not None:
        names = [name.strip() for name in given.split(",") if name.strip()]
        check_input(source, names, benchmark="FIT-RS", layout="the files named with --annotations")
        return {name: source / name for name in sorted(names)}
    found = sorted(path for ending in ("json", "jsonl") for path in source.rglob(f"*.{ending}"))
    if not found:
        raise InputNotFoundError(
            "Cannot read FIT-RS",
            where=source,
            rule="there is no .json or .jsonl file",
            action="Name the folder that holds the files of questions and the images",
        )
    names = [path.relative_to(source).as_posix() for path in found]
    train = [name for name in names if _split_of(name) == TRAIN]
    if len(train) > 1 and any(_WHOLE.match(Path(name).name) for name in train):
        raise UsageError(
            "Cannot read FIT-RS",
            where=source,
            rule=f"several files hold the same training questions: {', '.join(train)}",
            action="Name those that are wanted with --annotations, with commas between",
        )
    return dict(zip(names, found, strict=True))


def _split_of(name: str) -> str:
    return TEST if _IS_TEST.search(Path(name).stem) else TRAIN


def _scene_of(image: str) -> str:
    return image.rpartition("/")[2].partition("__")[0]


def _kept(rows: Sequence[Row], shared: OfficialSplits) -> list[Row]:
    """Settle for each scene in which split its rows stay."""
    scenes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        scenes[_scene_of(row.image)].append(row)
    return [row for scene in sorted(scenes) for row in shared.settle(f"scene {scene}", scenes[scene])]


def _splits_of_scenes(rows: Iterable[Row]) -> dict[str, set[str]]:
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        splits[_scene_of(row.image)].add(row.official_split)
    return splits


def _units(uri: str, path: Path, rows: Sequence[Row], splits: Set[str]) -> Iterator[ImageUnit]:
    """Make a unit of an image, or two where training and test files ask about it.

    Args:
        uri: The image, relative to the input.
        path: Its file.
        rows: The rows about it.
        splits: The official splits in which its scene lies.
    """
    scene = _scene_of(uri)
    for official_split in sorted({row.official_split for row in rows}):
        group, warnings = group_of(scene, official_split, splits, "scene")
        own = tuple(row for row in rows if row.official_split == official_split)
        yield ImageUnit(uri, path, group, tuple(warnings), own)


def _read_round(question: str, answer: str, marks: MarkedText) -> Round:
    tag, rest = split_tag(question)
    known = _read_choice(rest, answer)
    if known is None and tag == "detection":
        known = _read_detection(rest, answer, marks)
    return marks.free_round(rest, answer) if known is None else known


def _read_detection(question: str, answer: str, marks: MarkedText) -> Round | None:
    """Read boxes of all things of one class; None where the answer is in another form or not complete."""
    wanted = _WANTED.search(question)
    if wanted is not None and _NONE.fullmatch(answer):
        return Round(Task.GROUNDING, wanted["name"], BoxesAnswer(object_ids=()))
    counted = _COUNTED.fullmatch(answer)
    if counted is None or not is_boxes_alone(counted["boxes"]):
        return None
    count, name = int(counted["count"]), counted["name"]
    if len(find_boxes(counted["boxes"])) != count:
        return None
    label = name if count == 1 else name.removesuffix("s") or name
    return Round(Task.GROUNDING, label, BoxesAnswer(object_ids=marks.read_boxes(counted["boxes"], label)))


def _read_choice(question: str, answer: str) -> Round | None:
    """Read a question with lettered options, one a line; None where there are none, or the answer is no letter."""
    options = list(_OPTION.finditer(question))
    letter = _LETTER.fullmatch(answer)
    letters = [option[1] for option in options]
    if len(options) < 2 or letter is None or letter[1] not in letters or has_marks(question):
        return None
    stem, rest = question[: options[0].start()].strip(), question[options[-1].end() :].strip()
    in_order = letters == [option_letter(index) for index in range(len(options))]
    if not stem or not in_order or (rest and not _CHOICE_REQUEST.match(rest)):
        return None
    texts = tuple(option[2] for option in options)
    return Round(Task.MULTIPLE_CHOICE, stem, ChoiceAnswer(options=texts, correct=letters.index(letter[1])))
