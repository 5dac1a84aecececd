"""The run of an export: every sample is expressed, read back and compared, and its images are put beside the rows."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL import Image as PillowImage

from domainvl import __version__
from domainvl.errors import DatasetError, ExitCode, ItemError, NothingToDoError, UsageError
from domainvl.files import hash_file, link_or_copy, output_errors
from domainvl.schema.exchange.folder import output_folder, path_inside
from domainvl.schema.exchange.formats import (
    ExchangedSample,
    ExportFacts,
    Format,
    ImageMode,
    PlacedImage,
    Row,
    RowWriter,
    load_format,
)
from domainvl.schema.exchange.rows import write_json
from domainvl.schema.reader import read_manifest, read_samples
from domainvl.schema.sample import Sample, Split
from domainvl.schema.writer import MANIFEST_NAME, REJECTS_NAME, Reject

EXPORT_NAME = "export.json"


@dataclass(frozen=True)
class ExportSummary:
    """What an export did.

    Attributes:
        out: The folder that was made.
        counts: Number of rows of each split that has some.
        left_out: Number of samples that the format cannot express, by reason.
        several_images: Number of rows with several images.
        several_images_note: What readers make of those, where they do not agree.
        exit_code: Whether anything was left out.
    """

    out: Path
    counts: dict[Split, int]
    left_out: dict[str, int]
    several_images: int
    several_images_note: str | None
    exit_code: ExitCode


def export_dataset(
    dataset: Path,
    out: Path,
    *,
    format_name: str,
    images: ImageMode | None = None,
    splits: Sequence[Split] = tuple(Split),
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ExportSummary:
    """Write a data set in the format of another trainer.

    Each row is read back by the format's own reader before it is kept; a sample of which the text, the order of the
    images or a box would change is left out and listed in ``rejects.jsonl``. No image is ever decoded. Beside the rows
    stands ``export.json``, which says what was exported how.

    Args:
        dataset: Folder of the data set.
        out: Folder to make.
        format_name: One of :func:`~domainvl.schema.exchange.formats.format_names`.
        images: Where the images are to be; the format's default where None.
        splits: Which splits to export; one without samples gets no file.
        overwrite: Replace an export that is there.
        on_progress: Called with the number of samples done and the number in the data set's manifest.

    Raises:
        InputNotFoundError: If there is no such data set.
        DatasetError: Naming file, line and rule, if a line of it is wrong.
        UsageError: If an argument is wrong or a package is missing.
        NothingToDoError: If there are no samples, or none can be expressed.
        OutputError: If the output cannot be written.
    """
    kind = load_format(format_name)
    mode = _check_mode(kind, images)
    manifest = read_manifest(dataset)
    with output_folder(out, dataset, marker=EXPORT_NAME, overwrite=overwrite) as work:
        run = _Run(kind, mode, dataset.resolve(), work)
        total = sum(row["count"] for row in manifest["counts"] if row["split"] in [split.value for split in splits])
        for split in splits:
            for _ in run.export_split(split):
                if on_progress is not None:
                    on_progress(run.done, total)
        if not run.counts:
            raise _nothing_exported(kind, dataset, run)
        facts = ExportFacts(name=manifest["name"], dataset=dataset.resolve(), mode=mode, counts=run.counts)
        kind.finish(work, facts)
        write_json(
            work / EXPORT_NAME,
            {
                "format": kind.name,
                "dataset": manifest["name"],
                "dataset_manifest_sha256": hash_file(dataset / MANIFEST_NAME),
                "licence": manifest.get("licence"),
                "images": mode.value,
                "boxes": kind.boxes,
                "counts": {split.value: count for split, count in run.counts.items()},
                "several_images": run.several_images,
                "left_out": [{"reason": reason, "count": count} for reason, count in sorted(run.left_out.items())],
                "versions": {"domainvl": __version__},
            },
        )
    return ExportSummary(
        out=out,
        counts=run.counts,
        left_out=dict(sorted(run.left_out.items())),
        several_images=run.several_images,
        several_images_note=kind.several_images_note,
        exit_code=ExitCode.PARTIAL if run.left_out else ExitCode.DONE,
    )


def _check_mode(kind: Format, mode: ImageMode | None) -> ImageMode:
    if mode is None:
        return kind.image_modes[0]
    if mode not in kind.image_modes:
        allowed = ", ".join(kind.image_modes)
        raise UsageError(f"Cannot export to {kind.name}", rule=f"--images must be one of {allowed}, got {mode}")
    return mode


def _nothing_exported(kind: Format, dataset: Path, run: _Run) -> NothingToDoError:
    rule = "there are no samples in these splits"
    if run.first_reject is not None:
        rule = f"{kind.name} can express none of {run.done} samples (the first: {run.first_reject.message})"
    return NothingToDoError("Nothing to export", where=dataset, rule=rule, action="Name other splits or a format")


@dataclass
class _Run:
    """What an export has done so far."""

    kind: Format
    mode: ImageMode
    dataset: Path
    work: Path
    counts: dict[Split, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    several_images: int = 0
    done: int = 0
    first_reject: Reject | None = None

    def export_split(self, split: Split) -> Iterator[None]:
        """Export the samples of a split, one at a time."""
        rows: RowWriter | None = None
        with contextlib.ExitStack() as stack:
            for sample in read_samples(self.dataset, split):
                try:
                    placed = [self._place(image.path) for image in sample.images]
                    row = express(self.kind, sample, placed)
                except ItemError as error:
                    self._leave_out(sample.id, error)
                else:
                    for image in placed:
                        self._put(image)
                    if rows is None:
                        rows = self.kind.open_rows(self.work, split)
                        stack.callback(rows.close)
                    rows.write(row)
                    self.counts[split] = self.counts.get(split, 0) + 1
                    self.several_images += len(placed) > 1
                self.done += 1
                yield
            for withdrawn in rows.close() if rows is not None else ():
                self._withdraw(split, withdrawn)

    def _withdraw(self, split: Split, error: ItemError) -> None:
        """Take back a sample that was written and counted; formats that do so have one image a sample."""
        self._leave_out(error.where or "", error)
        self.counts[split] -= 1
        if not self.counts[split]:
            del self.counts[split]

    def _place(self, path: str) -> PlacedImage:
        try:
            file = path_inside(self.dataset, path)
        except DatasetError as error:
            raise ItemError(error.what, reason="image-path", rule=error.rule, action=error.action) from error
        if not file.is_file():
            raise ItemError("Cannot read an image", reason="image-missing", where=path, rule="there is no such file")
        return PlacedImage(path=path, file=file, mode=self.mode)

    def _put(self, image: PlacedImage) -> None:
        if self.mode is ImageMode.LINK:
            link_or_copy(image.file, self.work / image.path)
        elif self.mode is ImageMode.COPY:
            target = self.work / image.path
            if not target.exists():
                with output_errors(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(image.file, target)

    def _leave_out(self, sample_id: str, error: ItemError) -> None:
        reject = Reject(sample_id, "export", error.reason, str(error), error.action)
        self.first_reject = self.first_reject or reject
        self.left_out[reject.reason] += 1
        path = self.work / REJECTS_NAME
        with output_errors(path), path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(asdict(reject), ensure_ascii=False) + "\n")


def express(kind: Format, sample: Sample, images: Sequence[PlacedImage]) -> Row:
    """Turn a sample into a row that the format's own reader turns back into the same conversation.

    Args:
        kind: The format.
        sample: The sample.
        images: Its images.

    Raises:
        ItemError: If the format cannot express it.
    """
    row = kind.to_row(sample, images)
    sizes = {
        placed.reference: (image.width_px, image.height_px) for placed, image in zip(images, sample.images, strict=True)
    }
    back = kind.from_row(row, sizes.__getitem__)
    for index, (turn, turn_back) in enumerate(zip(sample.turns, back.turns, strict=True)):
        if turn != turn_back:
            raise ItemError(
                "Cannot express a text",
                reason="text-changes",
                where=sample.id,
                rule=f"turn {index} must be read back as it is, got {turn_back.text[:200]!r}",
            )
    if len(back.images) != len(images):
        raise ItemError(
            "Cannot express the images",
            reason="images-change",
            where=sample.id,
            rule=f"all {len(images)} must be read back, got {len(back.images)}",
        )
    return row


def read_exported(folder: Path, format_name: str, split: Split) -> Iterator[ExchangedSample]:
    """Read an export back, in order.

    Args:
        folder: Folder of the export.
        format_name: Its format.
        split: Which split.

    Yields:
        What each row says, in our terms.

    Raises:
        InputNotFoundError: If there is no such split.
        DatasetError: If a row breaks a rule of the format, or an image that gives the scale of a box is not readable.
    """
    kind = load_format(format_name)

    def size_of(image: str) -> tuple[int, int]:
        try:
            with PillowImage.open(folder / image) as file:
                return file.size
        except OSError as error:
            raise DatasetError("Cannot read an image", where=folder / image, rule=str(error)) from error

    for row in kind.read_rows(folder, split):
        yield kind.from_row(row, size_of)
