"""What the quickstart does for each domain: which inputs, which converter, which recipe.

The inputs are files in the field's own format, written by the generator beside its converter.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.errors import UsageError

GENERATED, REAL, OWN = "generated", "real", "own"

MIN_GROUPS = 12
"""Fewer would leave a split empty."""

_VAL_FRACTION = 0.05
_TEST_FRACTION = 0.3


@dataclass(frozen=True)
class QuickstartDomain:
    """One domain of the quickstart.

    Attributes:
        name: How it is called.
        converter: Which converter reads its inputs.
        recipe: Which recipe adapts the model.
        group_count: Scenes, patients or logs that are generated; more than a hundred are held out for each task.
        generate: Writes inputs into a folder, so many groups from a seed, and returns the converter's settings.
    """

    name: str
    converter: str
    recipe: str
    group_count: int
    generate: Callable[[Path, int, int], dict[str, Any]]


def _generate_remote_sensing(folder: Path, count: int, seed: int) -> dict[str, Any]:
    from domainvl.converters.geotiff.generate import generate_scenes

    generate_scenes(folder, scene_count=count, seed=seed)
    return {"labels": folder / "labels.geojson", "label_field": "class", "tile_px": 128}


MEDICAL_TASKS = "modality,plane,presence,counting,grounding"
"""What is asked about images: few kinds of questions, so that a small model learns each in minutes."""


def _generate_medical(folder: Path, count: int, seed: int) -> dict[str, Any]:
    from domainvl.converters.dicom.generate import generate_series

    generate_series(folder, patient_count=count, seed=seed)
    # All slices of a series have one modality and mostly one plane: asked once, more is asked about findings.
    return {"labels": folder / "labels.csv", "header_slices_per_stack": 1, "tasks": MEDICAL_TASKS}


DRIVING_TASKS = "view,presence,counting,grounding"
"""What is asked about frames: few kinds of questions here too."""


def _generate_driving(folder: Path, count: int, seed: int) -> dict[str, Any]:
    from domainvl.converters.nuscenes.generate import generate_dataroot

    generate_dataroot(folder, scene_count=count, frames_per_scene=2, seed=seed)
    # One camera a frame, so that questions about single views do not outnumber those about all six.
    return {"camera_samples_per_frame": 1, "tasks": DRIVING_TASKS}


DOMAINS = {
    domain.name: domain
    for domain in (
        # The one that takes longest first: on two cores the others run beside it.
        QuickstartDomain("driving", "nuscenes", "quickstart/driving", 420, _generate_driving),
        QuickstartDomain("remote-sensing", "geotiff", "quickstart/remote-sensing", 420, _generate_remote_sensing),
        QuickstartDomain("medical", "dicom", "quickstart/medical", 540, _generate_medical),
    )
}


def choose_domains(names: list[str] | None) -> list[QuickstartDomain]:
    """Return the domains of these names, all where None.

    Raises:
        UsageError: If a name is unknown.
    """
    unknown = sorted(set(names or []) - set(DOMAINS))
    if unknown:
        raise UsageError(
            "Cannot run the quickstart", rule=f"--domain must be one of {', '.join(DOMAINS)}, got {', '.join(unknown)}"
        )
    return [domain for name, domain in DOMAINS.items() if not names or name in names]


def split_settings() -> dict[str, Any]:
    """Return the shares of groups that are held out: enough of them for intervals that mean something."""
    return {"val_fraction": _VAL_FRACTION, "test_fraction": _TEST_FRACTION}


def identity_settings(
    domain: QuickstartDomain, folder: Path, deid_key: Path | None, seed: int | None
) -> dict[str, Any]:
    """Return the settings that a converter of identifying input needs.

    Args:
        domain: The domain.
        folder: Where a key is made if none is given.
        deid_key: The user's key.
        seed: Of generated inputs, whose identities are made up: their key follows from it, so that the same
            command gives the same bytes. Real inputs have no seed and get a random key.
    """
    if domain.converter != "dicom":
        return {}
    if deid_key is None:
        deid_key = folder / "deid.key"
        if not deid_key.exists():
            key = secrets.token_hex(32) if seed is None else hashlib.sha256(f"generated {seed}".encode()).hexdigest()
            deid_key.write_text(key + "\n", encoding="ascii")
            deid_key.chmod(0o600)
    return {"deid_key": deid_key}
