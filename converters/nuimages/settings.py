"""What can be set when nuImages is converted."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from domainvl.conversion import ConverterSettings
from domainvl.schema import Task

from ..benchmarks.official_splits import Leakage

TASKS = (
    Task.PRESENCE,
    Task.COUNTING,
    Task.COMPARISON,
    Task.GROUNDING,
    Task.REGION,
    Task.CAPTION,
    Task.DETECTION,
)
"""Kinds of questions that the objects of an image allow."""

_DEFAULT_TASKS = (Task.PRESENCE, Task.COUNTING, Task.GROUNDING, Task.REGION, Task.CAPTION)


class NuimagesSettings(ConverterSettings):
    """Settings of the nuImages converter."""

    plan_fields = frozenset({"version", "leakage"})

    panels: ClassVar[dict[str, tuple[str, ...]]] = {
        "Input": ("version", "strict"),
        "Questions": ("tasks", "min_side_px", "phrasing", "phrasing_seed"),
        "Splits": ("leakage", "val_fraction", "test_fraction", "split_seed"),
    }

    test_fraction: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Share of logs held out for testing; with v1.0-val, which is the test split, none need be.",
    )
    version: str | None = Field(
        default=None,
        description="Folder of tables, such as v1.0-mini; v1.0-train, v1.0-val and v1.0-test where left out, as far "
        "as they are there.",
    )
    strict: bool = Field(
        default=False,
        description="An image that is not on disk counts as failed. It is left out in any case; by default it counts "
        "as one that was not downloaded.",
    )
    tasks: str = Field(
        default=",".join(_DEFAULT_TASKS),
        description=f"What is asked, separated by commas: some of {', '.join(TASKS)}.",
    )
    min_side_px: float = Field(
        default=8.0, ge=0.0, description="Objects whose box has a shorter side are not asked about."
    )
    phrasing: Literal["published", "varied"] = Field(
        default="published", description="Ask in the published words only, or in varied ones."
    )
    phrasing_seed: int = Field(default=0, description="Another seed varies the words otherwise.")
    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Logs in both official sets: leave out their training images, leave out their test images, or "
        "keep them as published.",
    )

    @field_validator("tasks")
    @classmethod
    def _known_tasks(cls, tasks: str) -> str:
        names = [name.strip() for name in tasks.split(",")]
        if not set(names) <= set(TASKS) or len(set(names)) != len(names):
            raise ValueError(f"it must name some of {', '.join(TASKS)}, each once")
        return ",".join(task for task in TASKS if task in names)

    @property
    def asked(self) -> tuple[Task, ...]:
        """The kinds of questions that are asked."""
        return tuple(Task(name) for name in self.tasks.split(","))
