"""A system's answers on disk: one prediction a line, written whole or not at all, checked when read."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from domainvl.errors import DatasetError, InputNotFoundError

PREDICTIONS_NAME = "predictions.jsonl"

_ACTION = "Make the predictions again with domainvl eval"

_SUM_TOLERANCE = 1e-3
"""How far the likelihoods of options may be from 1 together, for they may have been rounded."""


class Prediction(BaseModel):
    """What a system answered to one sample.

    Attributes:
        sample_id: Id of the sample.
        text: The answer as it was generated, its end marker removed; may be empty.
        likelihood: Normalised likelihood of the answer: exp of the mean log-probability of its tokens, so that
            long and short answers compare. Between 0 and 1; None where the system gives none.
        options: Where the sample has options, the likelihood of each, by its letter or text; together 1, within a
            thousandth.
        box_scores: Of a detector, how sure it is of each box of the text, in their order; between 0 and 1.
        token_count: Number of tokens of the answer; None where it is not known.
        cut_off: Whether the answer was longer than allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sample_id: str = Field(min_length=1)
    text: str
    likelihood: float | None = Field(default=None, ge=0.0, le=1.0, allow_inf_nan=False)
    options: dict[str, Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]] | None = None
    box_scores: tuple[Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)], ...] | None = None
    token_count: int | None = Field(default=None, ge=0)
    cut_off: bool = False

    @field_validator("options")
    @classmethod
    def _likelihoods_are_shares(cls, options: dict[str, float] | None) -> dict[str, float] | None:
        if options is not None and abs(math.fsum(options.values()) - 1) > _SUM_TOLERANCE:
            raise ValueError(f"the likelihoods must add up to 1, got {math.fsum(options.values()):.6g}")
        return options


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write predictions, one line each, in the order given.

    The file takes its name only when it is complete.

    Args:
        path: File to write; its folder must exist.
        predictions: What to write.

    Raises:
        DatasetError: If two predictions are about the same sample.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    seen: set[str] = set()
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            for prediction in predictions:
                if prediction.sample_id in seen:
                    raise DatasetError("Cannot write predictions", where=path, rule=_repeated(prediction.sample_id))
                seen.add(prediction.sample_id)
                file.write(json.dumps(prediction.model_dump(exclude_defaults=True), ensure_ascii=False) + "\n")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_predictions(path: Path) -> list[Prediction]:
    """Read predictions in file order.

    Args:
        path: File of one JSON object a line, as :class:`Prediction` has it; blank lines may end it.

    Raises:
        InputNotFoundError: If there is no such file.
        DatasetError: Naming file, line and rule, if a line is no JSON or cut off, a field is missing, wrong or unknown,
            or a sample was predicted before.
    """
    if not path.is_file():
        raise InputNotFoundError("Cannot read predictions", where=path, rule="there is no such file", action=_ACTION)
    predictions: dict[str, Prediction] = {}
    # As bytes: a file may end within a letter.
    with path.open("rb") as file:
        lines = _without_blank_end(file.readlines())
        for number, line in enumerate(lines, start=1):
            prediction = _from_line(line, f"{path}:{number}", whole=len(predictions))
            if prediction.sample_id in predictions:
                raise DatasetError(
                    "Invalid prediction",
                    where=f"{path}:{number}",
                    rule=_repeated(prediction.sample_id),
                    action=_ACTION,
                )
            predictions[prediction.sample_id] = prediction
    return list(predictions.values())


def _repeated(sample_id: str) -> str:
    return f"each sample has one prediction, {sample_id!r} was predicted before"


def _without_blank_end(lines: list[bytes]) -> list[bytes]:
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def broken_line(line: bytes, error: ValueError, whole: int) -> str:
    """Return the rule that a line breaks that is no JSON; a file that ends within one is said to be cut off.

    Args:
        line: The line, with its end.
        error: What the decoder says.
        whole: Number of answers before it.
    """
    cut_off = not line.endswith(b"\n")
    why = f"the file ends within a line, after {whole} whole answers" if cut_off else str(error)
    return f"each line must be one JSON object ({why})"


def _from_line(line: bytes, where: str, whole: int) -> Prediction:
    try:
        json.loads(line)
    except ValueError as error:  # not JSON, or not UTF-8
        rule = broken_line(line, error, whole)
        raise DatasetError("Unreadable prediction", where=where, rule=rule, action=_ACTION) from error
    try:
        return Prediction.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        rule = f"{field}: {first['msg']}" if field else first["msg"]
        raise DatasetError("Invalid prediction", where=where, rule=rule, action=_ACTION) from error
