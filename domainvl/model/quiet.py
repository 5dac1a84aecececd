"""Keeps transformers' own progress bars and advice out of a command's output; called by commands only."""

from __future__ import annotations

import warnings


def quiet_transformers() -> None:
    """Switch off transformers' progress bars and its warning about a name that peft still uses."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
