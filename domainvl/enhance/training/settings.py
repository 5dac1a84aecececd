"""What an enhancer is trained by: crops, steps, rates; with the presets of two sizes of network."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import PairIndex
from domainvl.errors import UsageError

Size = Literal["published", "small"]

_PUBLISHED_BORDER_SHARE = 32 / 576
"""SDAN leaves 32 of the 576 high pixels of a crop out of the loss on each side."""

_TRAINING_DEFAULTS: dict[Size, dict[str, Any]] = {
    # 800 epochs of about 1,200 pairs in batches of 8, with restarts after 20 epochs first.
    "published": {"steps": 120_000, "batch": 8, "crop_px": 144, "restart_every": 3_000},
    # Minutes on a CPU, so a higher rate. 1,500 steps are two whole cycles: the run ends at the lowest rate.
    "small": {"steps": 1_500, "batch": 8, "crop_px": 32, "restart_every": 500, "learning_rate": 1e-3},
}
_NETWORK_DEFAULTS: dict[Size, dict[str, Any]] = {
    "published": {"features": 64, "blocks": 16, "pack_block": 8},
    "small": {"features": 32, "blocks": 8, "pack_block": 4},
}
_OPTIONS = {
    "learning_rate": "lr",
    "alignment": "network",
    "flips": "no-reference-flips",
}
"""Options of the command that are not called as the setting is."""

MAY_CHANGE = frozenset({"steps", "validate_every", "save_every"})
"""What may differ when a run goes on: none of it changes what a step does."""


class TrainingSettings(BaseModel):
    """How an enhancer is trained; the defaults are SDAN's.

    Attributes:
        network: The layers.
        zero_first_offsets: Begin with offsets of zero; SDAN begins with random ones.
        steps: Steps of the whole run.
        batch: Crops in a step.
        crop_px: Side of a crop in low pixels; a multiple of the network's packing block.
        border_px: High pixels on each side of a crop that the loss leaves out.
        learning_rate: Adam's, at the start and after each restart.
        betas: Adam's.
        restart_every: Steps until the cosine's first restart; each cycle is twice as long as the one before.
        lowest_rate: Where the cosine ends.
        alignment_weight: Weight of the alignment loss against the picture's.
        least_valid: Share of a crop's high pixels that must be valid in both views, or another crop is drawn.
        augment: Whether crops are flipped and transposed at random.
        seed: Of the weights, the order of pairs and the crops.
        validate_every: Steps between looks at held-out pairs.
        save_every: Steps between saved states and checkpoints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkSettings
    zero_first_offsets: bool = False
    steps: int = Field(ge=1)
    batch: int = Field(ge=1, le=1024)
    crop_px: int = Field(ge=4, le=2048)
    border_px: int = Field(ge=0)
    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    betas: tuple[float, float] = (0.9, 0.99)
    restart_every: int = Field(ge=1)
    lowest_rate: float = Field(default=1e-5, ge=0)
    alignment_weight: float = Field(default=1.0, ge=0)
    least_valid: float = Field(default=0.5, ge=0, le=1)
    augment: bool = True
    seed: int = Field(default=0, ge=0)
    validate_every: int = Field(ge=1)
    save_every: int = Field(ge=1)

    @model_validator(mode="after")
    def _fits(self) -> TrainingSettings:
        block = self.network.pack_block if self.network.alignment != "none" else 0
        if block and self.crop_px % block:
            raise ValueError(f"crop_px must be a multiple of the packing block of {block} px, got {self.crop_px}")
        high_px = self.crop_px * self.network.scale
        if 2 * self.border_px >= high_px:
            raise ValueError(f"border_px must leave something of {high_px} high pixels, got {self.border_px}")
        if self.lowest_rate > self.learning_rate:
            raise ValueError(
                f"learning_rate must be at least lowest_rate, {self.lowest_rate}; got {self.learning_rate}"
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be in [0, 1), got {self.betas}")
        return self


def make_settings(
    size: Size, index: PairIndex, network: dict[str, Any] | None = None, training: dict[str, Any] | None = None
) -> TrainingSettings:
    """Fill in what was not asked for: from the pairs, the preset, and what follows from other settings.

    Args:
        size: The preset.
        index: The pairs, which say the scale and the bands.
        network: Settings of the network that were asked for; None stands for not asked for.
        training: Likewise of the training.

    Raises:
        UsageError: If a setting breaks a rule.
    """
    bands = {"scale": index.scale, "in_bands": index.low_view.bands, "out_bands": index.high_view.bands}
    same_bands = bands["in_bands"] == bands["out_bands"] and not index.mosaic
    skip = {"bicubic_skip": same_bands} if size == "small" else {}
    layers = {**_NETWORK_DEFAULTS[size], **skip, **_given(network), **bands}
    chosen = {**_TRAINING_DEFAULTS[size], **_given(training)}
    high_px = chosen["crop_px"] * index.scale
    chosen.setdefault("border_px", round(high_px * _PUBLISHED_BORDER_SHARE))
    chosen.setdefault("validate_every", max(1, min(1_000, chosen["steps"] // 5)))
    chosen.setdefault("save_every", max(1, min(500, chosen["steps"] // 3)))
    try:
        return TrainingSettings(network=NetworkSettings(**layers), **chosen)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1]) if first["loc"] else ""
        option = f"--{_OPTIONS.get(name, name).replace('_', '-')}: " if name else ""
        raise UsageError(
            "Cannot train an enhancer",
            rule=f"{option}{first['msg'].removeprefix('Value error, ')}",
            action="See domainvl enhance train --help",
        ) from error


def differences(before: TrainingSettings, now: TrainingSettings) -> list[str]:
    """Say in which settings two runs differ that would have to agree for one to go on with the other."""
    old, new = _flat(before), _flat(now)
    return [f"{key} was {old[key]!r}, is {new[key]!r}" for key in old if key not in MAY_CHANGE and old[key] != new[key]]


def _flat(settings: TrainingSettings) -> dict[str, Any]:
    values = settings.model_dump()
    return {**{f"network.{key}": value for key, value in values.pop("network").items()}, **values}


def _given(values: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (values or {}).items() if value is not None}
