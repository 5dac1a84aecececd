"""The numbers and pictures of a run in TensorBoard."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from domainvl.files import output_errors
from domainvl.training.trackers import TENSORBOARD_FOLDER, scalars


class TensorBoard:
    """Writes event files; a tracker of :class:`domainvl.training.log.Log`.

    Args:
        out: The run's folder.
        first_step: Steps done before; what the files hold of later ones, which are done again, gives way.

    Raises:
        OutputError: If it cannot write.
    """

    def __init__(self, out: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = out / TENSORBOARD_FOLDER
        with output_errors(self._folder):
            if not first_step and self._folder.exists():
                shutil.rmtree(self._folder)  # of a run that was stopped before it saved anything
            self._writer = SummaryWriter(str(self._folder), purge_step=first_step + 1 if first_step else None)

    def write(self, row: Mapping[str, Any]) -> None:
        """Take a row of the log."""
        with output_errors(self._folder):
            for name, value in scalars(row).items():
                self._writer.add_scalar(name, value, row["step"])

    def show(self, name: str, png: bytes, step: int) -> None:
        """Take a picture."""
        from PIL import Image

        with Image.open(io.BytesIO(png)) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        with output_errors(self._folder):
            self._writer.add_image(name, pixels, step, dataformats="HWC")

    def flush(self) -> None:
        """Bring what was taken onto the disk."""
        with output_errors(self._folder):
            self._writer.flush()

    def close(self) -> None:
        """Take no more."""
        with output_errors(self._folder):
            self._writer.close()
