"""Draw docs/picture.png from the folder of a full quickstart run.

python docs/picture.py quickstart docs/picture.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image as PillowImage

from domainvl.evaluation.predictions import read_predictions
from domainvl.evaluation.results import read_results
from domainvl.schema import Sample, Split, Task, read_samples, to_box_px
from domainvl.schema.boxes import Box

DOMAINS = {
    "remote-sensing": "GeoTIFF scenes + GeoJSON",
    "medical": "DICOM series + findings",
    "driving": "nuScenes tables + frames",
}
SYSTEMS = {"base": "0.75", "adapted": "tab:blue", "majority": "tab:olive", "blank images": "tab:brown"}


def main() -> None:
    """Draw one row a domain: a held-out image with the adapted model's box, and the scores."""
    run, out = Path(sys.argv[1]), Path(sys.argv[2])
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    axes = figure.subplots(len(DOMAINS), 2, width_ratios=[1, 2.6])
    for (domain, title), (left, right) in zip(DOMAINS.items(), axes, strict=True):
        _draw_answer(left, run / domain, title)
        _draw_scores(right, run / domain)
    axes[0][1].legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.02), frameon=False)
    figure.savefig(out, dpi=100)


def _draw_answer(axes: Axes, folder: Path, title: str) -> None:
    sample, box_px = _well_grounded(folder)
    image = sample.images[0]
    axes.imshow(PillowImage.open(folder / "dataset" / image.path).convert("RGB"))
    truth = sample.answer_objects()[0].box_px
    for box, colour, style in ((truth, "white", "--"), (box_px, "tab:blue", "-")):
        if box is not None:
            x, y, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
            axes.add_patch(Rectangle((x, y), width, height, fill=False, color=colour, linestyle=style, linewidth=2))
    axes.set_title(f"{title}\n“{sample.question}”", fontsize=10)
    axes.set_axis_off()


def _well_grounded(folder: Path) -> tuple[Sample, Box]:
    """Return the first held-out grounding sample that the adapted model answered with a box, and the box."""
    import re

    answers = {one.sample_id: one.text for one in read_predictions(folder / "scores" / "predictions.jsonl")}
    for sample in read_samples(folder / "dataset", Split.TEST):
        found = re.search(r"\[\[(\d+), (\d+), (\d+), (\d+)\]\]", answers[sample.id])
        if sample.task is Task.GROUNDING and len(sample.objects) > 1 and found:
            image = sample.images[0]
            x_min, y_min, x_max, y_max = (float(value) for value in found.groups())
            return sample, to_box_px((x_min, y_min, x_max, y_max), image.width_px, image.height_px)
    raise SystemExit(f"no grounding answer in {folder}")


def _draw_scores(axes: Axes, folder: Path) -> None:
    results = read_results(folder / "scores")
    lines = {line.name: line for line in results.lines if line.name.endswith(" accuracy")}
    tasks = sorted(lines)
    for index, (system, colour) in enumerate(SYSTEMS.items()):
        found = [lines[task].values[system] for task in tasks]
        means = [one.value for one in found]
        errors = [[one.value - one.low for one in found], [one.high - one.value for one in found]]
        places = [position + 0.2 * (index - 1.5) for position in range(len(tasks))]
        axes.bar(places, means, 0.18, yerr=errors, color=colour, label=system, error_kw={"linewidth": 1})
    axes.set_xticks(range(len(tasks)), [task.removesuffix(" accuracy") for task in tasks])
    axes.set_ylim(0, 1)
    axes.set_ylabel("right answers")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
