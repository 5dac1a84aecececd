"""Which look at held-out samples was the best, and whether it is time to stop."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from domainvl.errors import UsageError

BestBy = Literal["loss", "answers"]


@dataclass(frozen=True)
class Look:
    """One look at held-out samples.

    Attributes:
        step: Number of steps done.
        loss: Mean loss of held-out answers.
        answers_score: Share of held-out samples that were answered right; None where none can be scored.
    """

    step: int
    loss: float
    answers_score: float | None = None


class BestLook:
    """Keeps the best look.

    By ``loss`` the lowest wins. By ``answers`` the highest score wins, and of equal scores, which a few dozen samples
    often give, the lower loss. Of equal looks the earlier one stays. A look whose loss is not finite is never the best.

    Args:
        by: What decides.
        patience: Stop after so many looks in a row without a better one; None never stops.

    Attributes:
        best: The best look so far, None before the first that was finite.
    """

    def __init__(self, by: BestBy, patience: int | None = None) -> None:
        self._by = by
        self._patience = patience
        self._last_step = -1
        self._looks_without_better = 0
        self.best: Look | None = None

    def add(self, look: Look) -> bool:
        """Take a look into account and say whether it is the best so far.

        Raises:
            UsageError: If answers decide and none could be scored.
        """
        if self._by == "answers" and look.answers_score is None:
            raise UsageError(
                "Cannot choose the best checkpoint",
                rule="validation.best_by is 'answers', but no held-out answer can be scored",
                action="Use validation.best_by=loss",
            )
        self._last_step = look.step
        is_better = self._rank(look) < self._rank(self.best)
        self._looks_without_better = 0 if is_better else self._looks_without_better + 1
        if is_better:
            self.best = look
        return is_better

    @property
    def should_stop(self) -> bool:
        """Whether patience is at its end."""
        return self._patience is not None and self._looks_without_better >= self._patience

    def stop_message(self) -> str:
        """Say why the run stops early."""
        found = "none had a finite loss" if self.best is None else f"the best was at step {self.best.step}"
        return (
            f"stopped early at step {self._last_step}: {self._looks_without_better} looks without a better one, {found}"
        )

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs to go on, as plain JSON."""
        return {
            "best": None if self.best is None else asdict(self.best),
            "last_step": self._last_step,
            "looks_without_better": self._looks_without_better,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.best = None if state["best"] is None else Look(**state["best"])
        self._last_step = state["last_step"]
        self._looks_without_better = state["looks_without_better"]

    def _rank(self, look: Look | None) -> tuple[float, float]:
        """Return what is smaller the better the look."""
        if look is None or not math.isfinite(look.loss):
            return math.inf, math.inf
        if self._by == "loss":
            return look.loss, 0.0
        return -(look.answers_score or 0.0), look.loss
