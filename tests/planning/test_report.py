"""A plan in words and as JSON, from numbers made up here."""

from __future__ import annotations

import json

import pytest

from domainvl.planning.footprint import Footprint, Kind
from domainvl.planning.plan import Plan, Trial
from domainvl.planning.proposals import Choice
from domainvl.planning.rehearsal import BatchShape, Row
from domainvl.planning.report import format_plan, plan_to_json
from domainvl.planning.samples import Samples
from domainvl.planning.subject import find_subject
from domainvl.training.recipe_files import load_recipe

GB = 10**9
PACK = BatchShape.of(Row(13, 256, 128), units=3)
ANSWERING = Footprint({Kind.WEIGHTS: 2 * GB, Kind.CACHE: 4 * GB})


def trial(said: str, needed_gb: float, *, fits: bool | None, at_least: bool = False, changes=()) -> Trial:
    footprint = Footprint({Kind.WEIGHTS: 6 * GB, Kind.GRADIENTS: 1_000_000, Kind.ACTIVATIONS: 3 * GB})
    return Trial(Choice("1b", "lora", changes, said), footprint, round(needed_gb * GB), at_least, fits)


def plan(
    training: Trial, *trials: Trial, memory_bytes: int | None = None, device="gpu", samples=None, changes=()
) -> Plan:
    samples = samples or Samples(Row(13, 256, 128), [3584], None, None, False, PACK, 6, 256)
    recipe = load_recipe("_shared/lora", overrides=["quantisation=nf4", *changes])
    return Plan(find_subject("1b"), recipe, device, samples, memory_bytes, training, trials, 8, {"bf16": ANSWERING})


def test_what_is_needed_is_said_by_kind_and_the_allowance_apart():
    lines = format_plan(plan(trial("as given", 9.8, fits=None))).splitlines()

    assert lines == [
        "model      1b: 938,158,976 parameters",
        "           vision 304,012,288, projector 4,482,816, language model 629,663,872",
        "training   QLoRA (nf4); steps of 16 samples, a pack of 3 samples and 39 tiles at a time; "
        "activations computed again in the backward pass",
        "sample     3,584 tokens: 13 tiles are 3,328, text 256 (assumed)",
        "epoch      unknown: give --data or --samples",
        "memory       9.80 GB at the peak of a training step",
        "             6.00 GB  weights",
        "             3.00 GB  activations",
        # 7/8 GiB and a quarter of what are no weights
        "             1.69 GB  CUDA context and fragmentation: an allowance",
        # 6 GB, 7/8 GiB and 1 GB
        "answering    7.94 GB with weights in bf16, 8 prompts at a time",
    ]


def test_a_data_set_is_said_by_its_percentiles():
    pack = BatchShape(1, 5, 1, 900, 90, questions=2)
    samples = Samples(Row(2, 40, 9), list(range(1, 1201)), 1200, 75, True, pack, 2, 256)
    text = format_plan(plan(trial("as given", 9, fits=None), samples=samples))

    assert "; steps of 16 samples, a pack of up to 10 samples and 1 tile at a time; " in text
    assert "sample     median 600 tokens, p95 1,140, longest 1,200; at most 2 tiles; text counted\n" in text
    assert "epoch      1,200 samples, 75 steps\n" in text


@pytest.mark.parametrize(
    ("changes", "pack", "said"),
    [
        (("optimisation.packs_per_step=4",), PACK, "steps of 4 packs, a pack of 3 samples and 39 tiles at a time"),
        (("compute.parts_per_pack=2",), PACK, "a part of a pack of 2 samples and 26 tiles at a time"),
        ((), BatchShape.of(Row(13, 256, 128), rows=4), "steps of 16 samples, 4 rows at a time"),
    ],
)
def test_what_is_computed_at_a_time_is_said(changes, pack, said):
    samples = Samples(Row(13, 256, 128), [3584], None, None, False, pack, 4, 256)
    text = format_plan(plan(trial("as given", 9, fits=None), samples=samples, changes=changes))

    assert said in text


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("false", "activations kept"),
        ("{vision: true}", "activations computed again in the backward pass in the vision"),
        ("{language_model: true}", "activations computed again in the backward pass in the language model"),
    ],
)
def test_parts_whose_activations_are_kept_are_said(setting, said):
    made = plan(trial("as given", 9, fits=None), changes=[f"compute.gradient_checkpointing={setting}"])

    assert format_plan(made).splitlines()[2].endswith(said)


def test_what_fits_has_room_to_spare():
    text = format_plan(plan(trial("as given", 9.5, fits=True), memory_bytes=24 * GB))

    assert "verdict    fits in 24.00 GB, with 14.50 GB to spare\n" in text
    assert "take" not in text


def test_what_does_not_fit_is_followed_by_what_was_tried():
    tried = (
        trial("2 samples at a time", 9.0, fits=False),
        trial("QLoRA", 8.5, fits=False, at_least=True),
        trial("1 tile", 7.0, fits=True, changes=(("preprocessing.max_tiles", "1"), ("quantisation", "nf4"))),
    )
    lines = format_plan(plan(trial("as given", 9.5, fits=False), *tried, memory_bytes=8 * GB)).splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("verdict"))

    assert lines[start:] == [
        "verdict    does not fit in 8.00 GB; tried, in order of harm:",
        "                      9.00 GB  2 samples at a time",
        "           at least   8.50 GB  QLoRA",
        "                      7.00 GB  1 tile, fits",
        "take       --model 1b --method lora --set preprocessing.max_tiles=1 --set quantisation=nf4",
        "answering    7.94 GB with weights in bf16, 8 prompts at a time; fits",
    ]


def test_where_nothing_fits_that_is_said():
    text = format_plan(plan(trial("as given", 9.5, fits=False), memory_bytes=4 * GB))

    assert "nothing that is known here fits" in text
    # 4 GB less weights and 7/8 GiB leave 1.06 GB; 8 prompts take 5 GB.
    assert text.splitlines()[-1].endswith("8 prompts at a time; about 1 at a time fit")


def test_on_a_cpu_there_is_no_allowance():
    text = format_plan(plan(trial("as given", 9, fits=None), device="cpu"))

    assert "allowance" not in text
    assert "answering    6.00 GB" in text


@pytest.mark.parametrize("fits", [True, False])
def test_json_has_all_of_it_in_bytes(fits):
    made = plan(trial("as given", 9, fits=fits, changes=(("lora.rank", "8"),)), memory_bytes=10 * GB)
    content = json.loads(plan_to_json(made))

    assert content["training"] == {
        "said": "as given",
        "options": ["--model", "1b", "--method", "lora", "--set", "lora.rank=8"],
        "needed_bytes": 9 * GB,
        "at_least": False,
        "fits": fits,
        "bytes": {"weights": 6 * GB, "gradients": 1_000_000, "activations": 3 * GB},
    }
    assert content["solution"] == (content["training"] if fits else None)
    assert content["sample"] == {
        "tiles": 13,
        "tokens_median": 3584,
        "tokens_p95": 3584,
        "tokens_max": 3584,
        "text_counted": False,
    }
    assert content["memory_bytes"] == 10 * GB
    assert content["answering"]["bf16"]["bytes"] == {"weights": 2 * GB, "key/value cache": 4 * GB}
