"""Which columns of a table of images say what. Those that no setting names are guessed by names and contents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domainvl.errors import UsageError
from domainvl.schema.sample import Split

from .image_table_files import ImageTable

if TYPE_CHECKING:
    from .image_table import ImageTableSettings

IMAGE_COLUMNS = ("image", "image_name", "image_id", "isic_id", "filename", "file_name", "file", "path", "image_path")
_CLASS_COLUMNS = ("label", "class", "dx", "benign_malignant", "diagnosis", "category")
_GROUP_COLUMNS = ("patient_id", "patient", "subject_id", "lesion_id", "case_id")
_SPLIT_COLUMNS = ("split", "official_split", "data_split", "set", "subset", "partition", "fold")
"""Names that are looked for where a setting names none, in this order and in any case."""

SPLITS = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "val": Split.VAL,
    "valid": Split.VAL,
    "validation": Split.VAL,
    "dev": Split.VAL,
    "test": Split.TEST,
    "testing": Split.TEST,
}
"""What a column may call the splits, in any case."""

TRUTH = {"1": True, "1.0": True, "0": False, "0.0": False}
UNKNOWN = frozenset({"", "-1", "-1.0", "nan", "NaN"})
"""How a column of labels says yes and no, and that it is not known."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are.

    Attributes:
        image: Names the image.
        classes: Names the class of an image; None where there are labels.
        labels: Say of one label each whether it is there.
        group: Says what must not be divided; None where nothing does.
        split: Says the official split; None where splits are not the table's.
        kept: Are written as they are.
        notes: What could have been taken for labels instead, and where splits are from.
    """

    image: str
    classes: str | None
    labels: tuple[str, ...]
    group: str | None
    split: str | None
    kept: tuple[str, ...]
    notes: tuple[str, ...]


def choose_columns(table: ImageTable, groups: ImageTable | None, settings: ImageTableSettings) -> Columns:
    """Find out what the columns are.

    Args:
        table: The table.
        groups: The second table, which has the groups.
        settings: Name columns; those that they do not name are guessed.

    Raises:
        UsageError: If a column is missing or cannot be guessed.
    """
    image = _image_column(table, settings)
    group = _group_column(groups or table, settings)
    named = {image, group if groups is None else None, settings.class_column, *listed(settings.label_columns)}
    split, split_notes = _split_column(table, settings, named)
    classes, labels, others = _label_columns(table, settings, {image, group if groups is None else None, split})
    notes = []
    if others:
        notes.append(f"{', '.join(others)} could be asked about instead, and {'are' if len(others) > 1 else 'is'} not.")
    return Columns(
        image=image,
        classes=classes,
        labels=labels,
        group=group,
        split=split,
        kept=tuple(table.has(name, "keep") for name in listed(settings.keep)),
        notes=(*notes, *split_notes),
    )


def _image_column(table: ImageTable, settings: ImageTableSettings) -> str:
    if settings.image_column is not None:
        return table.has(settings.image_column, "image_column")
    found = first_of(IMAGE_COLUMNS, table.columns)
    if found is None:
        rule = f"no column is called {', '.join(IMAGE_COLUMNS)}"
        raise _not_guessed(table, rule, "Name one with --image-column")
    return found


def _group_column(table: ImageTable, settings: ImageTableSettings) -> str | None:
    if settings.group_column is not None:
        return table.has(settings.group_column, "group_column")
    return first_of(_GROUP_COLUMNS, table.columns)


def _split_column(
    table: ImageTable, settings: ImageTableSettings, taken: Collection[str | None]
) -> tuple[str | None, list[str]]:
    """Return the column of official splits, and what to say of it."""
    if settings.split_column is not None:
        if settings.split != "official":
            raise UsageError("Cannot read the table", rule="--split-column and --split exclude each other")
        return table.has(settings.split_column, "split_column"), []
    if settings.split != "official":
        return None, []
    said = {
        column: {value.casefold() for value in table.values(column)} for column in table.columns if column not in taken
    }
    found = first_of(_SPLIT_COLUMNS, [column for column, values in said.items() if values & SPLITS.keys()])
    notes = []
    if found is not None:
        notes.append(f"Splits are the official ones of {found}; to draw them instead, set --split drawn.")
    others = [column for column, values in said.items() if column != found and values and values <= SPLITS.keys()]
    if others:
        notes.append(f"What {', '.join(others)} says of splits is not used; to honour it, set --split-column.")
    return found, notes


def _label_columns(
    table: ImageTable, settings: ImageTableSettings, taken: Collection[str | None]
) -> tuple[str | None, tuple[str, ...], list[str]]:
    """Return the column of classes, or those of labels, and what else could be taken for either."""
    labels = listed(settings.label_columns)
    if settings.class_column is not None and labels:
        raise UsageError("Cannot read the table", rule="--class-column and --label-columns exclude each other")
    if labels:
        return None, tuple(table.has(name, "label_columns") for name in labels), []
    if settings.class_column is not None:
        return table.has(settings.class_column, "class_column"), (), []
    free = [column for column in table.columns if column not in taken]
    binary = [column for column in free if _is_binary(table, column)]
    named = [column for name in _CLASS_COLUMNS if (column := first_of([name], free)) is not None]
    classes = [column for column in named if len(table.values(column)) > 1] or ([] if len(binary) > 1 else named)
    if classes:
        return classes[0], (), [*classes[1:], *(column for column in binary if column not in classes)]
    if len(binary) > 1:
        return None, tuple(binary), []
    rule = f"no column is called {', '.join(_CLASS_COLUMNS)}, and fewer than two hold zeros and ones"
    raise _not_guessed(table, rule, "Name one with --class-column or some with --label-columns")


def _is_binary(table: ImageTable, column: str) -> bool:
    values = table.values(column)
    return bool(values & TRUTH.keys()) and values <= TRUTH.keys() | UNKNOWN


def _not_guessed(table: ImageTable, rule: str, action: str) -> UsageError:
    columns = ", ".join(table.columns)
    return UsageError("Cannot read the table", where=table.path, rule=rule, action=f"{action}: {columns}")


def first_of(candidates: Iterable[str], columns: Sequence[str]) -> str | None:
    """Return the first column, in the order of the candidates, that has one of these names in whatever case."""
    by_name = {column.casefold(): column for column in reversed(columns)}
    return next((by_name[name] for name in candidates if name in by_name), None)


def listed(text: str | None) -> list[str]:
    """Read a list with commas between."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]
