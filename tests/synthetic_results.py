"""An evaluation as it could have come out, made up: results, answers and data set, for the tests of the report."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from builders import make_sample
from gallery import write_dataset

from domainvl.evaluation.contestants import MAJORITY_OF
from domainvl.evaluation.predictions import Prediction, write_predictions
from domainvl.evaluation.protocols.loading import protocol_sha256
from domainvl.evaluation.results import (
    Breakdown,
    Calibration,
    Comparison,
    Confusion,
    Cost,
    Data,
    Leak,
    Line,
    PublishedNumber,
    ReliabilityBin,
    Results,
    Run,
    System,
    Value,
    Verdict,
    write_results,
)
from domainvl.schema import (
    BoxesAnswer,
    CountAnswer,
    ImageStore,
    Object,
    Sample,
    Source,
    Split,
    Task,
    TextAnswer,
    to_box_1000,
)
from domainvl.schema.wording import box_list

ADAPTED, BASE, VILT, SCRATCH, MAJORITY = "harbour-lora", "Mini-InternVL-1B", "ViLT", "ViLT from scratch", "majority"
NAMES = (ADAPTED, BASE, VILT, SCRATCH, MAJORITY)

LINES = {
    # name: metric, average, values of the systems in the order of NAMES
    "presence": ("exact match", None, (0.912, 0.703, 0.884, 0.861, 0.655)),
    "counting": ("exact match", None, (0.604, 0.412, 0.598, 0.571, 0.301)),
    "grounding": ("IoU > 0.5", None, (0.687, 0.314, None, None, 0.02)),
    "overall": ("exact match", "micro", (0.801, 0.552, 0.768, 0.741, 0.498)),
    "mean of columns": ("exact match", "macro", (0.734, 0.476, 0.741, 0.716, 0.325)),
}
HEADLINE = "overall"
HALF_WIDTH = 0.021


def _value(value: float | None, half: float = HALF_WIDTH, **fields: Any) -> Value:
    if value is None:
        return Value(value=None, **fields)
    return Value(value=value, low=max(0.0, value - half), high=min(1.0, value + half), **fields)


def _line(name: str, metric: str, average: str | None, values: tuple[float | None, ...], **fields: Any) -> Line:
    fields.setdefault("variant", "strict")
    by_name = {system: _value(value) for system, value in zip(NAMES, values, strict=True) if value is not None}
    return Line(name=name, metric=metric, average=average, n=4_006, groups=251, values=by_name, **fields)


def _comparison(line: Line, other: str) -> Comparison:
    ours, theirs = line.values[ADAPTED].value or 0.0, line.values[other].value or 0.0
    difference = ours - theirs
    verdict: Verdict = "not distinguishable" if abs(difference) < 0.03 else "better" if difference > 0 else "worse"
    p = 0.0002 if verdict != "not distinguishable" else 0.2134
    than = "the same model trained from scratch" if other == SCRATCH else other
    words = {
        "better": f"On {line.name}, {ADAPTED} is better than {than} by {difference:.3f}.",
        "worse": f"On {line.name}, {ADAPTED} is worse than {than} by {-difference:.3f}.",
        "not distinguishable": f"On {line.name}, {ADAPTED} and {than} cannot be told apart on this set.",
    }
    return Comparison(
        name=line.name,
        variant="strict",
        a=ADAPTED,
        b=other,
        difference=difference,
        low=difference - 0.025,
        high=difference + 0.025,
        p_bootstrap=p,
        p_mcnemar=None if line.average == "macro" else p / 2,
        p_holm=min(1.0, 5 * p),
        smallest_difference=0.036,
        verdict=verdict,
        words=words[verdict],
    )


def _systems() -> tuple[System, ...]:
    def cost(ms: float, device: str = "NVIDIA H100") -> Cost:
        return Cost(
            device=device,
            seconds=ms * 4.1,
            answers=4_006,
            ms_per_image=ms,
            visual_tokens=5_127_680,
            tokens=16_411,
            peak_memory_gb=3.812,
        )

    return (
        System(
            name=ADAPTED,
            kind="adapted",
            predictions=f"{ADAPTED}.jsonl",
            about={"checkpoint": "runs/harbour-lora", "recipe": "remote-sensing", "max_tiles": "6"},
            cost=cost(81.4),
            cut_off=3,
        ),
        System(name=BASE, kind="base", predictions=f"{BASE}.jsonl", cost=cost(80.9), empty=12),
        System(name=VILT, kind="specialist", pretraining="ImageNet-1k, GCC, SBU, COCO", predictions=f"{VILT}.jsonl"),
        System(name=SCRATCH, kind="specialist", pretraining="none", predictions=f"{SCRATCH}.jsonl", cost=cost(22.7)),
        System(name=MAJORITY, kind="baseline", predictions=f"{MAJORITY}.jsonl", about={MAJORITY_OF: "0"}),
    )


def _breakdowns() -> tuple[Breakdown, ...]:
    levels = {
        "question_type": {"presence": (2_010, 251), "comparison": (1_310, 243), "counting": (686, 240)},
        "sensor": {"Sentinel-2": (2_900, 180), "aerial, 0.15 m": (1_070, 64), "WorldView-3": (36, 7)},
        "gsd_m": {"0.15": (1_070, 64), "0.31": (36, 7), "10": (2_900, 180)},
        "object_size": {"small (< 32² px)": (812, 199), "medium": (1_604, 240), "large (> 96² px)": (1_590, 233)},
    }
    found = []
    for factor_index, (factor, parts) in enumerate(levels.items()):
        for index, (level, (n, groups)) in enumerate(parts.items()):
            shift = 0.07 - 0.06 * index - 0.01 * factor_index
            half = 0.25 if groups < 10 else 0.04
            values = {name: _value(value + shift, half) for name, value in zip(NAMES, LINES[HEADLINE][2], strict=True)}
            found.append(Breakdown(factor=factor, level=level, n=n, groups=groups, values=values))
    return tuple(found)


def _calibration(system: str, overconfidence: float) -> Calibration:
    bins = []
    for index, n in enumerate((40, 95, 210, 420, 640)):
        confidence = 0.25 + 0.165 * index
        accuracy = max(0.0, confidence - overconfidence * confidence)
        bins.append(
            ReliabilityBin(low=0.2 * index, high=0.2 * index + 0.2, n=n, confidence=confidence, accuracy=accuracy)
        )
    return Calibration(system=system, ece=_value(overconfidence * 0.7, 0.01), n=1_405, bins=tuple(bins))


def synthetic_results(**changes: Any) -> Results:
    """Made-up results of five systems; a few fields can be replaced."""
    lines = [_line(name, *content) for name, content in LINES.items()]
    comparisons = [_comparison(line, other) for other in NAMES[1:] for line in lines if other in line.values]
    official = _line(
        "overall",
        "substring match",
        "micro",
        (0.823, 0.571, 0.79, 0.765, 0.51),
        variant="as-published",
        flaw="“no” counts as right in “not sure”",
    )
    fields: dict[str, Any] = {
        "protocol": "generic",
        "protocol_version": 1,
        "protocol_sha256": protocol_sha256("generic"),
        "title": "Harbour questions",
        "headline": HEADLINE,
        "data": Data(
            name="harbours",
            folder="nowhere/harbours",
            split="test",
            sha256="0" * 64,
            samples=4_006,
            groups=251,
            excluded={"area questions, whose answers are ranges": 311, "count above 100": 9},
        ),
        "run": Run(
            domainvl="0.9.0",
            command="domainvl eval --model runs/harbour-lora --data harbours --out harbour-scores",
            resamples=2_000,
            confidence=0.95,
            seed=0,
            asking={"decoding": "greedy", "max_new_tokens": "64", "batch_size": "32"},
        ),
        "systems": _systems(),
        "lines": (*lines, official),
        "comparisons": tuple(comparisons),
        "breakdowns": _breakdowns(),
        "calibration": (_calibration(ADAPTED, 0.05), _calibration(BASE, 0.31)),
        "confusion": (
            Confusion(
                system=ADAPTED,
                name="presence",
                labels=("yes", "no"),
                said=("yes", "no", "other"),
                counts=((911, 82, 3), (90, 921, 3)),
            ),
            Confusion(
                system=BASE,
                name="presence",
                labels=("yes", "no"),
                said=("yes", "no", "other"),
                counts=((803, 180, 13), (399, 607, 8)),
            ),
        ),
        "published": (
            PublishedNumber(
                model="RSVQA (Lobry et al.)",
                kind="specialist",
                name="overall",
                value=0.7908,
                split="test",
                metric="overall accuracy, micro",
                source="Lobry et al., RSVQA, 2020, table 3",
            ),
            PublishedNumber(
                model="GeoChat-7B",
                kind="general",
                name="presence",
                value=0.9109,
                split="test",
                metric="exact match after normalisation",
                source="GeoChat, 2023, table 6",
                doubt="the split of the table is not named",
            ),
        ),
        "notes": ("Images of the test split are 251 of 10 scenes that lie beside those of training.",),
    }
    return Results(**(fields | changes))


def leak() -> Leak:
    return Leak(system=ADAPTED, groups=3, images=11, samples=176, examples=("a/1", "a/2", "b/7"))


def _scene(store: ImageStore, seed: int) -> tuple[Any, list[Object]]:
    """A made-up harbour: blue water, grey quay, white ships."""
    noise = np.random.default_rng(seed)
    pixels = noise.integers(0, 18, (240, 320, 3)).astype(np.uint8) + np.array([24, 62, 92], np.uint8)
    pixels[200:] = 120 + noise.integers(0, 30, (40, 320, 1)).astype(np.uint8)
    ships = []
    for index in range(1 + seed % 3):
        left, top = 20 + 95 * index + seed % 20, 30 + (seed * 37 + index * 61) % 110
        pixels[top : top + 22, left : left + 64] = (226, 226, 220)
        pixels[top + 6 : top + 16, left + 12 : left + 30] = (178, 60, 44)
        ships.append(Object(id=str(index), label="ship", box_px=(float(left), float(top), left + 64.0, top + 22.0)))
    return store.put_pixels(pixels).to_image(Source(uri=f"scene-{seed}.tif", details={"gsd_m": 0.31})), ships


def synthetic_samples(folder: Path, scenes: int = 12) -> list[Sample]:
    """Three questions an image: presence, counting, grounding."""
    samples, store = [], ImageStore(folder)
    for seed in range(scenes):
        image, ships = _scene(store, seed)
        common: dict[str, Any] = {
            "images": (image,),
            "objects": ships,
            "domain": "remote-sensing",
            "split": Split.TEST,
            "group": f"scene-{seed // 2}",
        }
        samples += [
            make_sample(
                f"presence/{seed}",
                task=Task.PRESENCE,
                question="Is there a bridge?" if seed % 2 else "Is there a ship?",
                answer=TextAnswer(text="no" if seed % 2 else "yes"),
                **common,
            ),
            make_sample(
                f"counting/{seed}",
                task=Task.COUNTING,
                question="How many ships are there?",
                answer=CountAnswer(count=len(ships)),
                **common,
            ),
            make_sample(
                f"grounding/{seed}",
                task=Task.GROUNDING,
                question="the ship at the left",
                answer=BoxesAnswer(object_ids=("0",)),
                **common,
            ),
        ]
    return samples


def answer_text(sample: Sample, system: int) -> str:
    """A made-up answer: the later the system, the more are wrong."""
    number = int(sample.id.split("/")[1])
    wrong = (number + 2 * system) % 7 < 1 + 2 * (system > 0)
    if isinstance(sample.answer, BoxesAnswer):
        x_min, y_min, x_max, y_max = sample.answer_objects()[0].box_px or (0.0, 0.0, 1.0, 1.0)
        shift = 50.0 if wrong else 4.0
        image = sample.images[0]
        return box_list([to_box_1000((x_min + shift, y_min, x_max + shift, y_max), image.width_px, image.height_px)])
    if isinstance(sample.answer, CountAnswer):
        return str(sample.answer.count + wrong)
    assert isinstance(sample.answer, TextAnswer)
    right, other = ("yes", "no") if sample.answer.text == "yes" else ("no", "yes")
    return ("" if system == 1 and number % 5 == 0 else other) if wrong else right


def write_evaluation(folder: Path, dataset: Path, **changes: Any) -> Results:
    """Write a data set and an evaluation of it."""
    samples = synthetic_samples(dataset)
    write_dataset(dataset, samples)
    (dataset / "manifest.json").write_text('{"name": "harbours"}', encoding="utf-8")
    sha256 = hashlib.sha256((dataset / "test.jsonl").read_bytes()).hexdigest()
    results = synthetic_results()
    results = synthetic_results(
        **({"data": results.data.model_copy(update={"folder": str(dataset), "sha256": sha256})} | changes)
    )
    folder.mkdir(parents=True, exist_ok=True)
    for index, system in enumerate(results.systems):
        answers = [Prediction(sample_id=sample.id, text=answer_text(sample, index)) for sample in samples]
        write_predictions(folder / system.predictions, answers)
    write_results(folder / "scores.json", results)
    return results
