"""What the rows of a table say of images: file, label, group, split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.errors import InputNotFoundError, ItemError, UsageError
from domainvl.schema.sample import Split
from domainvl.schema.writer import Reject, Severity

from ..dicom.privacy.pseudonyms import SOURCE_HASHES, Pseudonyms, read_key
from ..tables import TABLE_SUFFIXES, is_table
from .image_table_columns import IMAGE_COLUMNS, SPLITS, TRUTH, UNKNOWN, choose_columns, first_of, listed
from .image_table_files import ImageFiles, ImageTable, read_table
from .reading import reject_of, row_error

if TYPE_CHECKING:
    from .image_table import ImageTableSettings


@dataclass(frozen=True)
class TableRow:
    """One image and what the table says of it.

    Attributes:
        name: Names it in a reject.
        uri: Its path in the input, or the pseudonym of that.
        path: The file.
        group: What must not be divided.
        official_split: Its official split, or ``"none"``.
        label: Its class, where it has one.
        labels: What is known of each label, where it has such.
        kept: Other columns.
        fixed: The split that it must be in.
        warnings: What a careful reader should know.
    """

    name: str
    uri: str
    path: Path
    group: str
    official_split: str
    label: str | None
    labels: tuple[tuple[str, bool], ...]
    kept: tuple[tuple[str, str], ...]
    fixed: Split | None = None
    warnings: tuple[str, ...] = ()


class TableReader:
    """Reads the table as the settings say, and guesses what they do not.

    Args:
        source: The input.
        settings: The settings.
        rejects: Takes rows that cannot be used.

    Attributes:
        table: The table.
        columns: What its columns are.
        classes: All classes, sorted if they are of a column of classes; empty where there are labels.
        source_key: Key under which the manifest writes hashes of files; empty where names are written as they are.
    """

    def __init__(self, source: Path, settings: ImageTableSettings, rejects: list[Reject]) -> None:
        self._rejects = rejects
        self._pseudonyms = Pseudonyms(read_key(settings.deid_key)) if settings.deid_key is not None else None
        self.source_key = b"" if self._pseudonyms is None else self._pseudonyms.subkey(SOURCE_HASHES)
        path = settings.table or _only_table(source)
        self.table = read_table(path, path.name if self._pseudonyms is None else "table")
        folder = source if source.is_dir() else source.parent
        self._files = ImageFiles(folder / settings.images if settings.images else folder)
        self._groups: ImageTable | None = None
        if settings.groups is not None:
            self._groups = read_table(settings.groups, settings.groups.name if self._pseudonyms is None else "groups")
        self.columns = choose_columns(self.table, self._groups, settings)
        self._group_of = self._read_groups()
        self._names = _names(settings.names)
        self._used: set[str] = set()
        self._exclusive = self._is_one_of_all()
        self.classes = self._all_classes()

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows that can be used."""
        for number, values in self.table.rows:
            name = self.table.row_name(number)
            try:
                yield self._row(name, values)
            except ItemError as error:
                self._rejects.append(reject_of(name, error))

    def unused(self) -> list[Reject]:
        """Say how many images no row names."""
        count = len(self._files.paths) - len(self._used)
        if not count:
            return []
        message = f"{count} image files are named by no row"
        return [Reject("images", "plan", "no-label", message, "Add them to the table", Severity.SKIPPED)]

    def sources(self, rows: Sequence[TableRow]) -> dict[str, Path]:
        """Return the files that are read, by the names under which they may be mentioned."""
        tables = {table.name: table.path for table in (self._groups, self.table) if table is not None}
        return tables | {row.uri: row.path for row in rows}

    def notes(self) -> list[str]:
        """Say what was taken for what, how images are grouped and what is written of their names."""
        group = self.columns.group
        labels = f"{len(self.classes)} classes" if self.classes else "labels"
        names = ", ".join(self.columns.labels or [self.columns.classes or ""])
        taken = f"The {labels} are those of {names} (--class-column or --label-columns name others)."
        notes = [taken, *self.columns.notes]
        if group is None:
            notes.append("No column says which images are of one patient: splits divide by image (--group-column).")
        else:
            notes.append(f"Images with the same {group} are in one split.")
        if self._pseudonyms is None:
            groups = "" if group is None else f" and the values of {group}"
            notes.append(f"Names of image files{groups} are written as they are; --deid-key FILE hashes them.")
        return notes

    def _row(self, name: str, values: Mapping[str, str]) -> TableRow:
        uri = self._files.find(values[self.columns.image], name)
        if uri in self._used:
            raise row_error("image-repeated", name, "another row is about the same image")
        label, labels = self._labels(name, values)
        split = self._split(name, values)
        self._used.add(uri)
        return TableRow(
            name=name,
            uri=self._hidden("image", uri),
            path=self._files.paths[uri],
            group=self._group(name, values, uri),
            official_split=split,
            label=label,
            labels=labels,
            kept=tuple((column, values[column]) for column in self.columns.kept if values[column]),
        )

    def _split(self, name: str, values: Mapping[str, str]) -> str:
        column = self.columns.split
        if column is None:
            return "none"
        split = SPLITS.get(values[column].casefold())
        if split is None:
            raise row_error("split-unknown", name, f"{column} must be one of {', '.join(SPLITS)}")
        return split.value

    def _group(self, name: str, values: Mapping[str, str], uri: str) -> str:
        column = self.columns.group
        if column is None:
            return f"image {self._hidden('image', uri)}"
        if self._groups is None:
            groups = {values[column]} - {""}
        else:
            groups = self._group_of.get(values[self.columns.image], set())
        if not groups:
            raise row_error("group-missing", name, f"{column} is empty, and the image cannot be placed")
        if len(groups) > 1:
            rule = f"the table of groups gives the image {len(groups)} values of {column}, and must give one"
            raise row_error("group-contradiction", name, rule)
        return f"{column} {self._hidden('group', *groups)}"

    def _hidden(self, kind: str, identifier: str) -> str:
        return identifier if self._pseudonyms is None else self._pseudonyms.of(f"image-table {kind}", identifier)

    def _labels(self, name: str, values: Mapping[str, str]) -> tuple[str | None, tuple[tuple[str, bool], ...]]:
        """Return the class of a row, or what is known of each label."""
        if self.columns.classes is not None:
            label = values[self.columns.classes]
            if not label:
                raise row_error("label-missing", name, f"{self.columns.classes} is empty")
            return self._named(label), ()
        known: list[tuple[str, bool]] = []
        for column in self.columns.labels:
            value = values[column]
            if value in UNKNOWN:
                continue
            if value not in TRUTH:
                raise row_error("label-invalid", name, f"{column} must be 0, 1, or -1 or empty where it is not known")
            known.append((self._named(column), TRUTH[value]))
        if not known:
            raise row_error("label-missing", name, "no label is known")
        if not self._exclusive:
            return None, tuple(known)
        return next(label for label, there in known if there), ()

    def _named(self, label: str) -> str:
        return self._names.get(label, label)

    def _read_groups(self) -> dict[str, set[str]]:
        """Return the groups that the second table gives each image; it should be one."""
        table = self._groups
        if table is None:
            return {}
        image_column = first_of((self.columns.image.casefold(), *IMAGE_COLUMNS), table.columns)
        if self.columns.group is None or image_column is None:
            raise UsageError(
                "Cannot use --groups",
                where=table.path,
                rule="it must have a column of images and one of groups",
                action=f"Name the latter with --group-column: {', '.join(table.columns)}",
            )
        groups: defaultdict[str, set[str]] = defaultdict(set)
        for _, cells in table.rows:
            groups[cells[image_column]] |= {cells[self.columns.group]} - {""}
        return groups

    def _is_one_of_all(self) -> bool:
        """Say whether all labels are known in every row, and exactly one of them is 1."""
        labels = self.columns.labels
        return len(labels) > 1 and all(
            [TRUTH.get(cells[column]) for column in labels].count(True) == 1
            and all(cells[column] in TRUTH for column in labels)
            for _, cells in self.table.rows
        )

    def _all_classes(self) -> tuple[str, ...]:
        if self.columns.classes is not None:
            classes = sorted({self._named(label) for label in self.table.values(self.columns.classes)})
        elif self._exclusive:
            classes = [self._named(column) for column in self.columns.labels]
        else:
            return ()
        if len(set(classes)) < 2 or len(set(classes)) < len(classes):
            rule = f"there must be at least two classes, each with another name, got {len(set(classes))}"
            raise UsageError("Cannot read the table", where=self.table.path, rule=rule)
        return tuple(classes)


def _only_table(source: Path) -> Path:
    tables = (
        [source] if source.is_file() else sorted(path for path in source.iterdir() if is_table(path) and path.is_file())
    )
    if len(tables) != 1:
        raise InputNotFoundError(
            "Cannot read images with a table",
            where=source,
            rule=f"one table ({', '.join(TABLE_SUFFIXES)}) must lie in it, got {len(tables)}",
            action="Name it with --table",
        )
    return tables[0]


ISIC_NAMES = {
    "MEL": "melanoma",
    "NV": "melanocytic nevus",
    "BCC": "basal cell carcinoma",
    "AK": "actinic keratosis",
    "AKIEC": "actinic keratosis or Bowen's disease",
    "BKL": "benign keratosis",
    "DF": "dermatofibroma",
    "VASC": "vascular lesion",
    "SCC": "squamous cell carcinoma",
    "UNK": "none of the others",
}
"""What the ISIC challenges of 2018 and 2019 say that their codes mean (challenge.isic-archive.com)."""


def _names(text: str | None) -> dict[str, str]:
    """Read ``MEL=melanoma,NV=melanocytic nevus``, or ``isic`` for the codes of ISIC in either case."""
    if text == "isic":
        return ISIC_NAMES | {code.lower(): name for code, name in ISIC_NAMES.items()}
    names: dict[str, str] = {}
    for pair in listed(text):
        label, equals, name = (part.strip() for part in pair.partition("="))
        if not equals or not label or not name:
            raise UsageError("Cannot use --names", rule=f"it must be like MEL=melanoma,NV=nevus, got {pair!r:.80}")
        names[label] = name
    return names
