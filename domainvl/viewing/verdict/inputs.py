"""What a report is made from: the folders of evaluations, and that several of them may stand on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from domainvl.errors import UsageError
from domainvl.evaluation.predictions import Prediction, read_predictions
from domainvl.evaluation.results import Results, System, read_results


@dataclass(frozen=True)
class ReportInput:
    """The folder of an evaluation, and what it is on the page.

    Attributes:
        folder: Folder that ``domainvl eval`` made.
        role: ``verdict``: the page is about it; ``general``: the same model and its base on a general set, which
            shows what was forgotten.
    """

    folder: Path
    role: Literal["verdict", "general"] = "verdict"


@dataclass(frozen=True)
class Evaluations:
    """What stands on a page.

    Attributes:
        folders: Folders of the evaluations that the page is about.
        verdict: Their results.
        general: Results on a general set.
    """

    folders: tuple[Path, ...]
    verdict: Results
    general: Results | None


def read_evaluations(inputs: Sequence[Path | ReportInput], dataset: Path | None = None) -> Evaluations:
    """Read what a page is about.

    Args:
        inputs: One folder or more of the same data and protocol, and at most one of a general set.
        dataset: The data set's folder, from which several are scored anew; the one named in the results where None.

    Raises:
        UsageError: If none is to be shown, or they do not fit together.
        InputNotFoundError: If a folder holds no results, or several are to be compared and the data set is gone.
        DatasetError: If results cannot be read.
    """
    given = [one if isinstance(one, ReportInput) else ReportInput(one) for one in inputs]
    folders = tuple(one.folder for one in given if one.role == "verdict")
    general = [one.folder for one in given if one.role == "general"]
    if not folders or len(general) > 1:
        rule = (
            f"it takes one evaluation or more and at most one of a general set, got {len(folders)} and {len(general)}"
        )
        raise UsageError("Cannot write a report", rule=rule, action="Name folders made by domainvl eval")
    return Evaluations(folders, _read_all(folders, dataset), read_results(general[0]) if general else None)


def _read_all(folders: Sequence[Path], dataset: Path | None) -> Results:
    if len(folders) == 1:
        return read_results(folders[0])
    from domainvl.evaluation.run import rescore  # it knows the models, which a page of one evaluation does not need

    return rescore(folders, dataset)


def read_answers(system: System, folders: Sequence[Path]) -> dict[str, Prediction]:
    """Read the answers of a system by id of the sample.

    Args:
        system: The system.
        folders: Folders of the evaluations. Of several, systems are named by the folder that they are of, but for
            baselines, which are the same in all (:func:`domainvl.evaluation.run.rescore`).

    Raises:
        InputNotFoundError: If there is no such file.
        DatasetError: If it cannot be read.
    """
    own = [one for one in folders if system.name.startswith(f"{one.resolve().name}: ")]
    there = [one for one in own or folders if (one / system.predictions).is_file()]
    file = (there or own or folders)[0] / system.predictions
    return {one.sample_id: one for one in read_predictions(file)}
