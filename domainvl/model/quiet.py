"""Keeps transformers' own progress bars and advice out of a command's output; called by commands only."""

from __future__ import annotations

import logging
import warnings


def quiet_transformers() -> None:
    """Switch off transformers' progress bars, its warning about a name that peft still uses, and bitsandbytes' advice.

    bitsandbytes, which peft imports where it is installed, says at each start that a package could make it quicker.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
