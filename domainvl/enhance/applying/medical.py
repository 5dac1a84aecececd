"""What is medical by what it holds: detail that a network invents has no place there unless someone insists."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

from domainvl.errors import UsageError

_HEAD_BYTES = 512
_DICOM_AT, _DICOM = 128, b"DICM"
"""Prefix after the preamble (DICOM PS3.10, 7.1)."""
_NIFTI_1_AT, _NIFTI_1 = 344, (b"n+1\x00", b"ni1\x00")
_NIFTI_2_AT, _NIFTI_2 = 4, (b"n+2\x00", b"ni2\x00")
"""Field ``magic`` of the headers of NIfTI-1 and NIfTI-2."""
_GZIP = b"\x1f\x8b"
_SUFFIXES = {".dcm": "DICOM", ".dicom": "DICOM", ".nii": "NIfTI", ".nii.gz": "NIfTI"}
_MANIFEST = "manifest.json"
_DOMAIN = "medical"


def medical_format(path: Path) -> str | None:
    """Return ``"DICOM"`` or ``"NIfTI"`` if a file is one of them by its content or its name, else None.

    A file that cannot be read is judged by its name; whoever reads it next says what is wrong.
    """
    try:
        head = _head(path)
    except (OSError, EOFError, zlib.error):
        head = b""
    if head[_DICOM_AT : _DICOM_AT + len(_DICOM)] == _DICOM:
        return "DICOM"
    if head[_NIFTI_1_AT : _NIFTI_1_AT + 4] in _NIFTI_1 or head[_NIFTI_2_AT : _NIFTI_2_AT + 4] in _NIFTI_2:
        return "NIfTI"
    return next((name for suffix, name in _SUFFIXES.items() if path.name.lower().endswith(suffix)), None)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_GZIP):
        with gzip.open(path) as file:
            return file.read(_HEAD_BYTES)
    return head


class MedicalCheck:
    """Tells which inputs are medical; each folder is looked at once."""

    def __init__(self) -> None:
        self._folders: dict[Path, bool] = {}

    def why(self, path: Path) -> str | None:
        """Return why an input counts as medical, or None.

        Args:
            path: A file. It is medical by its format, or because a folder that it is in is a data set of domainvl
                with samples of the medical field.
        """
        found = medical_format(path)
        if found is not None:
            return f"it is a {found} file"
        for folder in dict.fromkeys((*path.absolute().parents, *path.resolve().parents)):
            if self._is_medical(folder):
                return f"it is in the medical data set {folder.name}"
        return None

    def _is_medical(self, folder: Path) -> bool:
        if folder not in self._folders:
            self._folders[folder] = _has_medical_samples(folder / _MANIFEST)
        return self._folders[folder]


def refuse_medical(found: dict[Path, str]) -> None:
    """Refuse medical inputs.

    Args:
        found: Why each medical input is one; nothing is refused where it is empty.

    Raises:
        UsageError: If there is any.
    """
    if not found:
        return
    path, why = next(iter(found.items()))
    others = f", and {len(found) - 1} more inputs are medical" if len(found) > 1 else ""
    raise UsageError(
        "Medical images are not enhanced",
        where=path,
        rule=f"{why}{others}; a network invents detail, and a finding must not be invented",
        action="Leave them out; for research on just this, --force-medical takes pictures exported from them",
    )


def _has_medical_samples(manifest: Path) -> bool:
    """Whether a file is the manifest of a data set with medical samples; other programs too write files of its name."""
    try:
        counts = json.loads(manifest.read_bytes())["counts"]
        return any(row["domain"] == _DOMAIN and row["count"] > 0 for row in counts)
    except (OSError, ValueError, KeyError, TypeError):
        return False
