"""What a worker does with one unit: convert it, write its pixels and its part, report counts."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from domainvl import __version__
from domainvl.conversion.converter import Converter, ConverterSettings, DividingConverter, Division, UnitResult
from domainvl.conversion.versions import versions
from domainvl.engine import FileState, FileStates, fingerprint
from domainvl.engine.ledger import Ledger, Part
from domainvl.errors import ItemError
from domainvl.schema.images import ImageStore
from domainvl.schema.record import SampleLines
from domainvl.schema.sample import SCHEMA_VERSION, Provenance, Sample
from domainvl.schema.wording import WORDING_VERSION
from domainvl.schema.writer import Reject, Severity

SAMPLE, REJECT, FACTS = "sample", "reject", "facts"
"""What a line of a part holds."""


@dataclass(frozen=True)
class Staging:
    """The folder in which a conversion is prepared.

    Attributes:
        folder: The folder.
    """

    folder: Path

    @property
    def ledger(self) -> Ledger:
        """The parts of the units that are done."""
        return Ledger(self.folder / "parts")

    def has_images(self, part: Part) -> bool:
        """Say whether the images of a part are there and as large as they were."""
        try:
            return all((self.dataset / path).stat().st_size == size for path, size in part.info["images"].items())
        except OSError:
            return False

    @property
    def lock(self) -> Path:
        """The file that one run holds, so that no other works in this folder."""
        return self.folder / "lock"

    @property
    def dataset(self) -> Path:
        """The folder that will be the data set; images are in it from the start."""
        return self.folder / "dataset"


@dataclass(frozen=True)
class Task:
    """One unit, on its way to a worker.

    Attributes:
        key: Names the unit by all that decides its result.
        name: Names it in messages.
        unit: The converter's unit.
        is_piece: Whether it is a piece of a unit that was divided.
    """

    key: str
    name: str
    unit: Any
    is_piece: bool = False


@dataclass(frozen=True)
class Done:
    """What a worker says of a unit that it did.

    Attributes:
        sample_count: Samples that it gave.
        drops: Inputs that it left out, by reason.
        failed_count: Inputs that could not be used.
        pieces: What it was divided into; these are still to be done.
        files: Its input files, with their states where they are there.
        elapsed_s: Seconds that it took.
    """

    sample_count: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    failed_count: int = 0
    pieces: tuple[Task, ...] = ()
    files: tuple[tuple[Path, FileState | None], ...] = ()
    elapsed_s: float = 0.0

    @property
    def bytes_read(self) -> int:
        """Size of its input files."""
        return sum(state.size_bytes for _, state in self.files if state is not None)

    @property
    def failed(self) -> bool:
        """Whether inputs failed and nothing came out."""
        return self.failed_count > 0 and not self.sample_count and not self.pieces


class ConversionWork:
    """Converts one unit; can be pickled and called in any process.

    Args:
        converter: What reads the input.
        settings: Settings as the user gave them.
        source: The input; units count by what lies below it.
        staging: Where pixels and parts go.
    """

    def __init__(
        self, converter: Converter[Any, Any], settings: ConverterSettings, source: Path, staging: Staging
    ) -> None:
        self._converter = converter
        self._settings = settings.for_units()
        self._root = source if source.is_dir() else source.parent
        self._staging = staging
        self._files = FileStates()
        self._images = ImageStore(staging.dataset)
        self._versions = json.dumps(versions(settings.packages()), sort_keys=True)
        self.provenance = Provenance(
            converter=converter.name,
            version=__version__,
            settings_sha256=hashlib.sha256(json.dumps(self._settings.public(), sort_keys=True).encode()).hexdigest(),
            wording=WORDING_VERSION,
        )

    def task(self, unit: Any) -> Task:
        """Name a planned unit by what decides its result, versions too, apart from the content of its files."""
        return self._task(unit, self.provenance.model_dump_json(), self._versions, str(SCHEMA_VERSION))

    def _task(self, unit: Any, *decisive: str, is_piece: bool = False) -> Task:
        parts = (*decisive, fingerprint(unit, root=self._root))
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return Task(key, self._converter.unit_name(unit), unit, is_piece)

    def __call__(self, task: Task) -> Done:
        """Do a unit. What it gives is on disk when this returns.

        Raises:
            OutputError: If that cannot be written.
        """
        started_s = time.monotonic()
        paths = () if task.is_piece else self._converter.unit_files(task.unit)
        files = tuple((path, self._state(path)) for path in paths)
        try:
            division = self._divide(task)
            if len(division.units) == 1:
                result = self._converter.convert(division.units[0], self._settings, self._images, self.provenance)
                result = UnitResult(result.samples, (*division.rejects, *result.rejects), result.facts)
                pieces: tuple[Task, ...] = ()
            else:
                result = UnitResult(rejects=division.rejects)
                content = [state.sha256 if state is not None else "" for _, state in files]
                pieces = tuple(self._task(unit, task.key, *content, is_piece=True) for unit in division.units)
            facts = division.facts if division.facts is not None else result.facts
        except ItemError as error:
            result = UnitResult(rejects=[Reject(task.name, "convert", error.reason, str(error), error.action)])
            pieces, facts = (), None
        done = Done(
            sample_count=len(result.samples),
            drops=Counter(reject.reason for reject in result.rejects),
            failed_count=sum(reject.severity is Severity.FAILED for reject in result.rejects),
            pieces=pieces,
            files=files,
            elapsed_s=time.monotonic() - started_s,
        )
        self._staging.ledger.put(task.key, self._info(done, result.samples), _lines(result, facts))
        return done

    def _info(self, done: Done, samples: Sequence[Sample]) -> dict[str, Any]:
        """Say of a part what a later run needs to know without doing the unit again."""
        paths = sorted({image.path for sample in samples for image in sample.images})
        return {
            "files": [asdict(state) if state is not None else None for _, state in done.files],
            # After a power cut an image may be shorter than it was.
            "images": {path: (self._staging.dataset / path).stat().st_size for path in paths},
            "pieces": [[piece.key, piece.name] for piece in done.pieces],
            "samples": done.sample_count,
            "drops": done.drops,
            "failed_count": done.failed_count,
            "failed": done.failed,
        }

    def _divide(self, task: Task) -> Division[Any]:
        if task.is_piece or not isinstance(self._converter, DividingConverter):
            return Division([task.unit])
        return self._converter.divide(task.unit, self._settings)

    def _state(self, path: Path) -> FileState | None:
        """Return the state of a file, or None where it is not there: the converter will say so better."""
        try:
            return self._files.of(path)
        except OSError:
            return None

    def __getstate__(self) -> dict[str, Any]:
        # Every process looks at the files for itself.
        return {**vars(self), "_files": FileStates()}


def _lines(result: UnitResult, facts: Mapping[str, JsonValue] | None) -> list[str]:
    written = SampleLines()
    samples = [f'{{"{SAMPLE}":{written.line(sample)}}}' for sample in result.samples]
    rejects = [json.dumps({REJECT: asdict(reject)}, ensure_ascii=False) for reject in result.rejects]
    head = [] if facts is None else [json.dumps({FACTS: facts}, ensure_ascii=False)]
    return head + samples + rejects
