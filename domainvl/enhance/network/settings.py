"""What decides a super-resolution network's layers; a checkpoint stores it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Alignment = Literal["shared", "per-tap", "none"]


class NetworkSettings(BaseModel):
    """The layers of a network; the defaults are SDAN's published configuration for one-band raw mosaics at x4.

    Attributes:
        scale: How many times the output has the rows and columns of the input.
        in_bands: Bands of the input: 1 for a raw mosaic or a grey picture, 3 for colours, n for a sensor.
        out_bands: Bands of the output and of the reference.
        features: Channels between the layers.
        blocks: Residual blocks of the trunk.
        alignment: One offset a place ("shared", SDAN), one a tap ("per-tap", the vanilla deformable convolution), or
            none at all: the plain network of the same trunk, which the others are compared with.
        pack_block: Side of the blocks that cross packing attention packs into channels, in pixels; 0 leaves it out.
        flips: Whether the offset network sees the reference's flips beside it.
        largest_offset_px: Bound of each offset component in low pixels (tanh); None leaves it free, as published.
        bicubic_skip: Whether the layers only add to the input enlarged bicubically. The published network does not;
            small ones learn quicker so. It takes as many bands out as in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: Literal[2, 4, 8] = 4
    in_bands: int = Field(default=1, ge=1, le=256)
    out_bands: int = Field(default=3, ge=1, le=256)
    features: int = Field(default=64, ge=4, le=512)
    blocks: int = Field(default=16, ge=1, le=64)
    alignment: Alignment = "shared"
    pack_block: int = Field(default=8, ge=0, le=32)
    flips: bool = True
    largest_offset_px: float | None = Field(default=None, gt=0)
    bicubic_skip: bool = False

    @model_validator(mode="after")
    def _skip_fits(self) -> Self:
        if self.bicubic_skip and self.in_bands != self.out_bands:
            raise ValueError(
                f"bicubic_skip needs as many bands out as in, got {self.in_bands} in and {self.out_bands} out"
            )
        return self
