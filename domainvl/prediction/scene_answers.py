"""Asks a model about the tiles of a scene, some at a time, and reads what it says; every answer is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from domainvl.converters.geotiff.grid import Tile
from domainvl.converters.geotiff.settings import GeotiffSettings
from domainvl.converters.geotiff.tile_samples import DOMAIN
from domainvl.errors import ItemError
from domainvl.evaluation.metrics.reading import read_choice, read_count
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.model.generation import GeneratedAnswer
from domainvl.prediction.answering import LIKELIHOOD_DECIMALS, Model
from domainvl.prediction.asking import BOX_TASKS, Asked, samples_to_ask
from domainvl.prediction.found_boxes import read_found, says_nothing_found
from domainvl.prediction.merging import Detection, MergeSettings, detect, make_window, merge
from domainvl.prediction.scene_tiles import SceneTiles, ShownTile, TileLeftOutError, box_of
from domainvl.schema import Box, ImageStore, Task, to_box_px
from domainvl.schema.boxes import clip_box
from domainvl.schema.phrases import stems
from domainvl.schema.questions.question import scale_note

TILES_AT_A_TIME = 64
"""Tiles that lie on disk at once, in a folder that is removed."""

_TOUCH_SHARE = 0.005
"""A box touches a border of its tile within so much of the tile's side, five of the thousandths that answers have."""

_NO = "no"


@dataclass(frozen=True)
class Reading:
    """What is asked of each tile, and what of the answers counts.

    Attributes:
        questions: What is asked.
        min_likelihood: Answers that are less likely are left out.
        check_presence: Ask too whether there is any of what is to be found, and believe a no.
        sum_counts: Add up the answers to counting questions.
        merge: Merge boxes over tiles.
    """

    questions: tuple[Asked, ...]
    min_likelihood: float = 0.0
    check_presence: bool = False
    sum_counts: bool = False
    merge: bool = True


@dataclass
class Tally:
    """What became of tiles, answers and boxes.

    Attributes:
        tiles: Tiles of the scene.
        asked: Those that the model was asked about.
        skipped: Others that show too little, by reason.
        failed: Others that cannot be read, by reason.
        damage: What was said of the first of those.
        answers: Answers.
        dropped_answers: Those that gave nothing for the result, by reason.
        cut_off: Answers that met the limit of tokens: their lists may lack boxes.
        boxes: Boxes in answers.
        dropped_boxes: Those that did not come into the result, by reason.
        joined: Boxes that became parts of others.
        by_label: Boxes of the result.
        sums: Counts over all tiles, by question.
    """

    tiles: int = 0
    asked: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    damage: str | None = None
    answers: int = 0
    dropped_answers: Counter[str] = field(default_factory=Counter)
    cut_off: int = 0
    boxes: int = 0
    dropped_boxes: Counter[str] = field(default_factory=Counter)
    joined: int = 0
    by_label: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)

    def record(self) -> dict[str, Any]:
        """Return it as values of JSON, names in order."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {
            name: dict(sorted(value.items())) if isinstance(value, Counter) else value for name, value in values.items()
        }


@dataclass(frozen=True)
class TileAnswer:
    """An answer that is no box.

    Attributes:
        name: Name of the tile.
        box_px: What it shows, in pixels of the grid.
        asked: The question.
        text: The answer; of multiple choice the option.
        likelihood: Of the answer.
    """

    name: str
    box_px: Box
    asked: Asked
    text: str
    likelihood: float


class SceneAnswers:
    """What a model says about a scene.

    Args:
        scene: The scene.
        settings: How it is shown.
        model: Answers.
        reading: What is asked and what counts.

    Attributes:
        detections: Boxes, merged over the tiles once all are asked.
        tile_answers: Other answers.
        tally: What became of all.
    """

    def __init__(self, scene: SceneTiles, settings: GeotiffSettings, model: Model, reading: Reading) -> None:
        self._scene = scene
        self._settings = settings
        self._model = model
        self._reading = reading
        self._presence = self._presence_questions() if reading.check_presence else {}
        self._asked = list(dict.fromkeys([*reading.questions, *self._presence.values()]))
        self._merging = MergeSettings(touch_px=max(1.0, _TOUCH_SHARE * settings.tile_px))
        self.detections: list[Detection] = []
        self.tile_answers: list[TileAnswer] = []
        self.tally = Tally(tiles=len(scene.tiles))

    def ask(self) -> Iterator[int]:
        """Ask about all tiles, and merge the boxes at the end; yields how many tiles are done."""
        tiles = self._scene.tiles
        for start in range(0, len(tiles), TILES_AT_A_TIME):
            part = tiles[start : start + TILES_AT_A_TIME]
            with TemporaryDirectory(prefix="domainvl-") as folder:
                self._ask_some(part, Path(folder))
            yield start + len(part)
        if self._reading.merge:
            merged = merge(self.detections, self._merging)
            dropped = {"repeated in an answer": merged.repeated, "seen in another tile too": merged.suppressed}
            self.tally.dropped_boxes.update({reason: count for reason, count in dropped.items() if count})
            self.tally.joined = merged.joined
            self.detections = list(merged.detections)
        self.tally.by_label.update(one.label for one in self.detections)

    def _presence_questions(self) -> dict[Asked, Asked]:
        """Make a question of each thing to be found whether it is there: many models learn to find only what is."""
        place, whole = ("in the image", "the image") if len(self._scene.views) == 1 else ("in the scene", "the scene")
        return {
            asked: Asked(Task.PRESENCE, stems("presence", label=asked.text, place=place, whole=whole)[0])
            for asked in self._reading.questions
            if asked.task is Task.GROUNDING
        }

    def _ask_some(self, tiles: Sequence[Tile], folder: Path) -> None:
        shown = list(self._show(tiles, ImageStore(folder)))
        samples = []
        for one in shown:
            note = scale_note(self._scene.gsd_m(one.tile), several_images=len(one.images) > 1)
            preface = note if self._settings.prompt_gsd else None
            samples += samples_to_ask(self._asked, name=one.name, domain=DOMAIN, images=one.images, preface=preface)
        answers = iter(self._model.answer(samples, folder))
        for one in shown:
            self._read(one, {asked: next(answers) for asked in self._asked})

    def _show(self, tiles: Sequence[Tile], store: ImageStore) -> Iterator[ShownTile]:
        for tile in tiles:
            try:
                shown = self._scene.show(tile, store)
            except TileLeftOutError as error:
                self.tally.skipped[error.reason] += 1
            except ItemError as error:
                self.tally.failed[error.reason] += 1
                self.tally.damage = self.tally.damage or str(error)
            else:
                self.tally.asked += 1
                yield shown

    def _read(self, shown: ShownTile, answers: dict[Asked, GeneratedAnswer]) -> None:
        """Read the answers about a tile."""
        self.tally.answers += len(answers)
        self.tally.cut_off += sum(answer.cut_off for answer in answers.values())
        for asked in self._reading.questions:
            text, likelihood = answers[asked].text, round(answers[asked].likelihood, LIKELIHOOD_DECIMALS)
            presence = self._presence.get(asked)
            if likelihood < self._reading.min_likelihood:
                self._drop_answer("below --min-likelihood")
            elif presence is not None and normalise_text(answers[presence].text) == _NO:
                self._drop_answer("said to be absent")
            elif asked.task in BOX_TASKS:
                self._read_boxes(shown, asked, text, likelihood)
            else:
                self._read_text(shown, asked, text, likelihood)

    def _drop_answer(self, reason: str) -> None:
        self.tally.dropped_answers[reason] += 1

    def _read_boxes(self, shown: ShownTile, asked: Asked, text: str, likelihood: float) -> None:
        found = read_found(asked.task, asked.text, text)
        if not found:
            self._drop_answer("nothing found" if says_nothing_found(text) else "without a readable box")
        self.tally.boxes += len(found)
        grid, tile, side_px = self._scene.grid, shown.tile, self._settings.tile_px
        window = make_window(shown.name, box_of(tile), (grid.width_px, grid.height_px))
        for label, box in found:
            in_tile = to_box_px(box, side_px, side_px)
            left, top, right, bottom = clip_box(in_tile, tile.width_px, tile.height_px)
            if left < right and top < bottom:
                on_grid = (left + tile.x_px, top + tile.y_px, right + tile.x_px, bottom + tile.y_px)
                self.detections.append(detect(on_grid, label, likelihood, window, asked.text, self._merging))
            else:
                has_area = in_tile[0] < in_tile[2] and in_tile[1] < in_tile[3]
                self.tally.dropped_boxes["in padding" if has_area else "without area"] += 1

    def _read_text(self, shown: ShownTile, asked: Asked, text: str, likelihood: float) -> None:
        if not text.strip():
            self._drop_answer("empty")
            return
        if asked.options:
            choice = read_choice(text, asked.options)
            if choice is None:
                self._drop_answer("none of the options")
                return
            text = asked.options[choice]
        if asked.task is Task.COUNTING and self._reading.sum_counts:
            count = read_count(text)
            if count is None:
                self._drop_answer("without a readable count")
                return
            self.tally.sums[asked.text] += count
        self.tile_answers.append(TileAnswer(shown.name, box_of(shown.tile), asked, text, likelihood))
