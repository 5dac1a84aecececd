"""What can be set when DriveLM is converted."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from pydantic import Field

from ..driving.settings import ShownAs, ViewSettings
from ..nuscenes.settings import SplitBy

Rounds: TypeAlias = Literal["single", "graph"]
QuestionsOnly: TypeAlias = Literal["refuse", "placeholder"]


class DriveLmSettings(ViewSettings):
    """Settings of the DriveLM converter."""

    plan_fields = frozenset({"dataroot", "questions_only", "split_by"})

    panels: ClassVar[dict[str, tuple[str, ...]]] = {
        "Input": ("dataroot", "strict", "questions_only"),
        "Images": ("layout", "draw_labels"),
        "Questions": ("challenge_subset", "rounds", "seed"),
        "Splits": ("split_by", "val_fraction", "test_fraction", "split_seed"),
    }

    dataroot: Path | None = Field(
        default=None,
        description="nuScenes data root, the folder that holds samples; where left out, the folder of the JSON file, "
        "nuscenes in it, or nuscenes beside it. Its tables, where it has some, say what scenes are called and where "
        "they go: without them the data set must not be merged with another one on nuScenes.",
    )
    questions_only: QuestionsOnly = Field(
        default="refuse",
        description="What becomes of scenes without answers, such as those of the challenge's validation file: they "
        "are refused, or their questions are put into the test split with a placeholder for an answer, to be predicted "
        "and submitted. All of them are open questions, also those with options: eval leaves these out of its scores.",
    )
    layout: ShownAs = Field(
        default="stitched",
        description="How the six views are shown: stitched to one image of 2688x896 px, as Mini-InternVL's authors do, "
        "or as images of their own, copied byte for byte.",
    )
    challenge_subset: bool = Field(
        default=False,
        description="Only the questions that the challenge's own script picks from each frame, numbered and tagged as "
        "it does.",
    )
    rounds: Rounds = Field(
        default="single",
        description="One sample a question, or one a frame: all its questions in the order of the graph, the last of "
        "which is asked after the others were answered.",
    )
    seed: int = Field(default=0, description="Another seed draws other wrong options and another order of options.")

    split_by: SplitBy | None = Field(
        default=None,
        description="What is not divided over splits: a scene, a log (several scenes) or a location; or the official "
        "scene lists, whose validation scenes become the test split. Left out: official where the tables are those of "
        "nuScenes, else scene, as the nuscenes converter does.",
    )
