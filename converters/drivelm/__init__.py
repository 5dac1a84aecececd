"""DriveLM's questions about key frames of nuScenes, in and out: perception, prediction, planning and behaviour.

Reads ``v1_1_train_nus.json`` and its like (OpenDriveLab/DriveLM, docs/data_prep_nus.md and challenge/README.md) and
writes answers back as ``output.json`` and ``submission.json`` (challenge/prepare_submission.py). Questions and images
are CC BY-NC-SA 4.0; neither is part of domainvl.
"""

from .convert import DriveLmConverter
from .settings import DriveLmSettings

__all__ = ["CONVERTER", "DriveLmConverter", "DriveLmSettings"]

CONVERTER = DriveLmConverter()
"""Turns the key frames of a DriveLM file into samples; a unit is one frame."""
