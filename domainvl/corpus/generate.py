"""Generates a small site of survey reports: pages to try the steps on, with something for each of them to find."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five")
_GROUND = {"meadow": (96, 150, 70), "sand": (200, 180, 130), "asphalt": (90, 90, 95), "water": (60, 90, 150)}
_ROOFS = {"red": (190, 60, 50), "grey": (150, 150, 155), "brown": (120, 80, 50)}
_PLACES = ("north of the river", "beside the old quay", "below the ridge", "along the railway", "east of the mill")
_WEATHER = ("a clear morning", "thin cloud", "strong wind", "low sun", "haze over the valley")
_SIDE_PX = 192


def write_survey_site(folder: Path, page_count: int = 24, *, seed: int = 0) -> None:
    """Write pages of a made-up survey from the air.

    Most are reports with two figures and their captions. Beside them are a near-duplicate of one, a draft with filler
    text, a page without a figure, one whose figure is broken and one whose figure lies elsewhere.

    Args:
        folder: Where to; made if it is not there.
        page_count: Reports to write, besides the five.
        seed: Another seed writes others.
    """
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(page_count):
        body = _report(folder, number, rng)
        _write_page(folder / f"report-{number:02d}.html", f"Survey {number}", body)
        if number == 0:
            again = body + "<p>This page was moved from our former site.</p>"
            _write_page(folder / "copy-of-report-00.html", "Survey 0, again", again)
    filler = (
        _text(rng, "asphalt", "grey", 2) + '<img src="figures/00-1.png" alt="A draft">' + "<p>Lorem ipsum dolor.</p>"
    )
    _write_page(folder / "draft.html", "A draft", filler)
    _write_page(folder / "no-figure.html", "Text alone", _text(rng, "water", "brown", 1))
    broken = _text(rng, "meadow", "red", 2) + '<img src="figures/broken.png" alt="A meadow">'
    _write_page(folder / "broken-figure.html", "A figure that was cut short", broken)
    (folder / "figures" / "broken.png").write_bytes(_png(np.zeros((_SIDE_PX, _SIDE_PX, 3), np.uint8))[:90])
    elsewhere = _text(rng, "sand", "grey", 3) + '<img src="https://example.org/a.png" alt="A beach">'
    _write_page(folder / "figure-elsewhere.html", "A figure of others", elsewhere)


def _report(folder: Path, number: int, rng: np.random.Generator) -> str:
    parts = [f"<h1>Survey {number}</h1>"]
    for figure in (1, 2):
        ground, roof = rng.choice(list(_GROUND)), rng.choice(list(_ROOFS))
        count = int(rng.integers(1, len(_NUMBERS)))
        name = f"figures/{number:02d}-{figure}.png"
        (folder / name).write_bytes(_png(_draw(_GROUND[ground], _ROOFS[roof], count, rng)))
        roofs = "roof" if count == 1 else "roofs"
        caption = f"Figure {figure}. {_NUMBERS[count]} {roof} {roofs} on {ground}, seen from above."
        parts.append(_text(rng, ground, roof, count))
        parts.append(f'<figure><img src="{name}" alt="{ground}"><figcaption>{caption}</figcaption></figure>')
    return "".join(parts)


def _text(rng: np.random.Generator, ground: str, roof: str, count: int) -> str:
    place, weather = rng.choice(_PLACES), rng.choice(_WEATHER)
    height_m, year, gsd_cm = int(rng.integers(80, 400)), int(rng.integers(2001, 2026)), int(rng.integers(5, 60))
    first = (
        f"The flight of {year} crossed the ground {place} at a height of {height_m} metres, in {weather}. Each pixel "
        f"of the pictures shows {gsd_cm} centimetres, and the shadows fall to the north. What covers most of the "
        f"frame is {ground}, as the field notes of that day confirm."
    )
    second = (
        f"We counted {_NUMBERS[count].lower()} buildings with a {roof} cover and compared them with the register, "
        f"which has {count + int(rng.integers(0, 3))} of them. Where the two differ, the owner had removed a shed "
        f"between the flights, or the trees beside it hid a part of the wall."
    )
    return f"<p>{first}</p><p>{second}</p>"


def _write_page(path: Path, title: str, body: str) -> None:
    head = f"<html lang=en><head><meta charset=utf-8><title>{title}</title></head>"
    menu = '<nav><a href="/">Home</a> <a href="/all">All surveys</a></nav>'
    path.write_text(f"{head}<body>{menu}<article>{body}</article><footer>Made up</footer></body></html>", "utf-8")


def _draw(
    ground: tuple[int, int, int], roof: tuple[int, int, int], count: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw roofs on a grid of six places, so that none covers another."""
    pixels = np.clip(rng.normal(ground, 6.0, (_SIDE_PX, _SIDE_PX, 3)), 0, 255).astype(np.uint8)
    for place in rng.permutation(6)[:count]:
        top, left = 16 + 90 * (int(place) // 3), 10 + 62 * (int(place) % 3)
        height_px, width_px = (int(side) for side in rng.integers(24, 46, 2))
        pixels[top : top + height_px, left : left + width_px] = roof
    return pixels


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
