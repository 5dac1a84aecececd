"""What came out of a conversion, for tests of converters."""

from __future__ import annotations

import json
from pathlib import Path

from domainvl.conversion import Converter, convert, load_converter
from domainvl.schema import Sample, Split, read_manifest, read_samples


class Converted:
    """A conversion without worker processes, of a converter or its name; its samples by id and its rejects."""

    def __init__(self, name: str | Converter, source: Path, out: Path, **settings) -> None:
        converter = load_converter(name) if isinstance(name, str) else name
        self.summary = convert(converter, source, out, converter.settings_type(**settings))
        self.out = out
        self.manifest = read_manifest(out)
        self.of_split = {split: list(read_samples(out, split)) for split in Split}
        self.samples: dict[str, Sample] = {
            sample.id: sample for samples in self.of_split.values() for sample in samples
        }
        self.rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]

    def reasons(self) -> list[tuple[str, str]]:
        """Input and reason of each reject, in order."""
        return [(reject["input"], reject["reason"]) for reject in self.rejects]

    def ids(self, split: Split) -> list[str]:
        """The ids of a split, in order."""
        return [sample.id for sample in self.of_split[split]]

    def files(self) -> dict[str, bytes]:
        """All files by their path."""
        return {
            path.relative_to(self.out).as_posix(): path.read_bytes()
            for path in sorted(self.out.rglob("*"))
            if path.is_file()
        }
