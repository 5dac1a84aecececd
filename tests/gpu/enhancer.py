"""How fast a GPU trains and applies SDAN as published, and what memory that takes; prints a table.

    python tests/gpu/enhancer.py

Random weights and pictures of noise: 8 raw mosaics of 144 x 144 pixels a step, x4 and x8, SDAN and the plain network;
then one 512 x 512 picture enlarged with zero offsets. With ``--device cpu --small`` the script itself can be tried
anywhere. Ends with 1 if a loss is no finite number.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import torch

from domainvl.enhance.network.losses import pair_losses
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings

STEPS, WARM_UP = 20, 5
HEAD = f"{'network':8}{'scale':>6}{'weights':>11}{'ms/step':>9}{'samples/s':>11}{'peak GB':>9}{'ms/512 px':>11}  loss"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a small network and crops, a few steps")
    options = parser.parse_args()
    print(HEAD)
    losses = [
        row(alignment, scale, torch.device(options.device), small=options.small)
        for alignment in ("shared", "none")
        for scale in (4, 8)
    ]
    return 0 if all(math.isfinite(loss) for loss in losses) else 1


def row(alignment: str, scale: int, device: torch.device, *, small: bool) -> float:
    sizes = {"features": 8, "blocks": 1, "pack_block": 4} if small else {}
    network = MisalignedSR(NetworkSettings.model_validate({"scale": scale, "alignment": alignment, **sizes}))
    network.initialise(0)
    network.to(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    batch, side, steps = (2, 16, 2) if small else (8, 144, STEPS)
    step_s, loss = train(network, batch, side, steps, device)
    peak_gb = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else math.nan
    applied_s = apply(network, 32 if small else 512, device)
    weights = sum(value.numel() for value in network.parameters())
    name = "sdan" if alignment == "shared" else "plain"
    print(
        f"{name:8}{scale:6}{weights:11,}{step_s * 1e3:9.1f}{batch / step_s:11.1f}{peak_gb:9.2f}{applied_s * 1e3:11.1f}"
        f"  {loss:.4f}",
        flush=True,
    )
    return loss


def train(network: MisalignedSR, batch: int, side: int, steps: int, device: torch.device) -> tuple[float, float]:
    """Return the seconds of a step and the last loss."""
    scale = network.settings.scale
    generator = torch.Generator().manual_seed(0)
    high = torch.rand(batch, 3, side * scale, side * scale, generator=generator).to(device)
    reference = torch.nn.functional.avg_pool2d(high, scale)
    low = reference.mean(dim=1, keepdim=True)
    valid = torch.ones(batch, 1, *high.shape[-2:], dtype=torch.bool, device=device)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.9, 0.99))
    shown = {} if network.alignment is None else {"reference": reference}
    started = loss = math.nan
    for step in range(-min(WARM_UP, steps), steps):
        if step == 0:
            wait(device)
            started = time.perf_counter()
        parts = pair_losses(network(low, **shown), high, reference, valid, border_px=side * scale // 18)
        total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        loss = total.item()
    wait(device)
    return (time.perf_counter() - started) / steps, loss


def apply(network: MisalignedSR, side: int, device: torch.device) -> float:
    """Return the seconds that one picture takes with zero offsets."""
    picture = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(1)).to(device)
    with torch.inference_mode():
        network(picture)
        wait(device)
        started = time.perf_counter()
        network(picture)
        wait(device)
    return time.perf_counter() - started


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
