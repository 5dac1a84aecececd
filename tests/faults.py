"""Work that goes wrong in all the ways that work can go wrong; worker processes import it by this name."""

from __future__ import annotations

import ctypes
import errno
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from builders import ToyConverter

from domainvl.conversion import Division, UnitResult
from domainvl.errors import ItemError
from domainvl.schema import Reject, Severity

HOG_STEP_BYTES = 64 << 20
HOG_END_BYTES = 2 << 30
"""Where the hog gives up by itself, should nobody stop it."""


def fail(kind: str) -> None:
    """Go wrong."""
    match kind:
        case "boom":
            raise ZeroDivisionError("the work broke")
        case "item":
            raise ItemError("Cannot work", reason="bad-item", where="x", rule="it is bad", action="Mend it")
        case "memory":
            raise MemoryError
        case "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.png")
        case "exit":
            os._exit(7)
        case "segv":
            ctypes.string_at(0)
        case "hang":
            time.sleep(30)
        case "hang with the lock":  # as a decoder does that never lets the interpreter go on
            ctypes.PyDLL(None).sleep(30)
        case "hog":
            hoard = []
            while len(hoard) * HOG_STEP_BYTES < HOG_END_BYTES:
                hoard.append(bytearray(HOG_STEP_BYTES))
                time.sleep(0.05)
            raise AssertionError("nobody stopped the hog")


def work(unit: tuple[Any, ...]) -> Any:
    """Do a unit: ``("double", n)``, a kind of failure alone, or one of those below."""
    kind, *rest = unit
    match kind:
        case "double":
            return rest[0] * 2
        case "pid":
            time.sleep(0.05)
            return os.getpid()
        case "odd result":
            return lambda: None
        case "fail once":  # ("fail once", kind, marker file)
            if not Path(rest[1]).exists():
                Path(rest[1]).touch()
                fail(rest[0])
            return "at last"
        case "note time":  # ("note time", file, seconds)
            begun = time.monotonic()
            time.sleep(rest[1])
            Path(rest[0]).write_text(f"{begun} {time.monotonic()}")
            return None
        case "divide":
            return [("double", n) for n in range(rest[0])]
    fail(kind)
    raise AssertionError(f"unknown work {unit}")


class Unloadable:
    """Work that cannot be loaded in another process."""

    def __call__(self, unit: Any) -> None:
        """Never called."""

    def __setstate__(self, state: Any) -> None:
        raise RuntimeError("not here")

    def __getstate__(self) -> dict[str, int]:
        return {"something": 1}


class SlowToLoad:
    """Work that takes a while to be loaded in another process, and then as long as a unit says."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, seconds: float) -> None:
        time.sleep(seconds)

    def __setstate__(self, state: dict[str, float]) -> None:
        time.sleep(state["seconds"])


class FaultyConverter(ToyConverter):
    """Toys whose word is a way to go wrong; ``slow`` takes a moment, ``twin`` takes the id of its neighbour ``a``."""

    name = "faulty"

    def convert(self, unit, settings, images, provenance):
        word = unit.read_text()
        fail(word)
        if word == "slow":
            time.sleep(0.05)
        result = super().convert(unit, settings, images, provenance)
        if word == "twin":
            return UnitResult([sample.model_copy(update={"id": "a/colour"}) for sample in result.samples])
        return result


class NoisyConverter(ToyConverter):
    """Toys that leave a picture of 40 kB that belongs to no sample, so that a small disk fills."""

    name = "noisy"

    def convert(self, unit, settings, images, provenance):
        generator = np.random.default_rng(ord(unit.stem))
        images.put_pixels(generator.integers(0, 256, (200, 200), dtype=np.uint8))
        return super().convert(unit, settings, images, provenance)


class DividedConverter(ToyConverter):
    """Toys that fall into four pieces; one that says ``boom2`` breaks in its second piece."""

    name = "divided"

    def divide(self, unit, settings):
        if unit.read_text() == "bad":
            raise ItemError("Cannot divide", reason="bad-toy", where=unit.name, rule="it says bad")
        rejects = [Reject(unit.name, "plan", "torn", "a corner is missing", severity=Severity.SKIPPED)]
        return Division([(unit, number) for number in range(4)], rejects)

    def convert(self, piece, settings, images, provenance):
        unit, number = piece
        if number == 2 and unit.read_text() == "boom2":
            raise ZeroDivisionError
        result = super().convert(unit, settings.model_copy(update={"grey": 10 * number}), images, provenance)
        samples = [sample.model_copy(update={"id": f"{sample.id}/{number}"}) for sample in result.samples]
        return UnitResult(samples, result.rejects)

    def unit_name(self, unit):
        return f"{unit[0].name} {unit[1]}" if isinstance(unit, tuple) else unit.name
