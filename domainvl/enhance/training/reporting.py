"""What a run tells: while it goes on, and at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from domainvl.enhance.training.views import LeftOut
from domainvl.training.log import LogRow


@dataclass(frozen=True)
class TrainingSummary:
    """What a run did.

    Attributes:
        out: The run's folder.
        steps: Steps done in all.
        steps_here: Steps done by this call; 0 if the run was done before.
        parameters: The network's weights.
        pairs: Pairs that were trained on.
        left_out: Pairs that were not, with what is wrong with them.
        held_out: Pairs that were looked at.
        loss: Mean loss of the last steps.
        redrawn: Crops that were drawn anew because too little of them was valid.
        few_valid: Crops that were taken though too little of them is valid.
        look: The numbers of the last look at held-out pairs; empty if there was none.
        seconds: Time of this call.
    """

    out: Path
    steps: int
    steps_here: int
    parameters: int
    pairs: int
    left_out: tuple[LeftOut, ...]
    held_out: int
    loss: float
    redrawn: int
    few_valid: int
    look: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Reporting:
    """Whom a run tells what; all of it optional.

    Attributes:
        on_row: Called with each row of the log.
        say: Called with a line of text.
        announce: Called within a signal handler, with what the signal leads to.
    """

    on_row: Callable[[LogRow], None] | None = None
    say: Callable[[str], None] = lambda line: None
    announce: Callable[[str], None] | None = None
