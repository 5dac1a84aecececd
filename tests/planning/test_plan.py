"""Plans of whole runs, of a model small enough to be rehearsed in a second."""

from __future__ import annotations

import pytest

from domainvl.errors import RecipeError, UsageError
from domainvl.model.quiet import quiet_transformers
from domainvl.planning.footprint import Kind
from domainvl.planning.plan import PlanSettings, make_plan, parse_memory
from domainvl.training.recipe_files import load_recipe

MB = 10**6


@pytest.fixture(scope="module", autouse=True)
def quiet():
    quiet_transformers()


def tiny(**changes) -> PlanSettings:
    return PlanSettings(**{"model": "tiny", "method": "lora", "answer_batch_size": 2, "new_tokens": 4, **changes})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24GB", 24_000_000_000),
        ("24 gb", 24_000_000_000),
        ("24GiB", 25_769_803_776),
        ("80000MB", 80_000_000_000),
        ("512MiB", 536_870_912),
        ("1.5GB", 1_500_000_000),
    ],
)
def test_memory_has_units(text, expected):
    assert parse_memory(text) == expected


@pytest.mark.parametrize("text", ["24", "GB", "0GB", "-1GB", "24TB", "rtx4090", "", "1e9GB", "9" * 400 + "GB", "nanGB"])
def test_memory_that_cannot_be_read(text):
    with pytest.raises(UsageError, match=r"Cannot read the memory.*such as 24GB"):
        parse_memory(text)


def test_without_a_gpu_there_is_no_verdict():
    plan = make_plan(tiny())

    assert plan.training.fits is None
    assert plan.trials == ()
    assert plan.solution is None
    assert plan.samples.steps_per_epoch is None
    assert set(plan.answering) == {"fp32", "bf16"}
    assert plan.answering["bf16"].bytes_by_kind[Kind.WEIGHTS] < plan.answering["fp32"].bytes_by_kind[Kind.WEIGHTS]


def test_what_fits_is_the_solution():
    plan = make_plan(tiny(memory_bytes=10**10))

    assert plan.training.fits is True
    assert plan.solution is plan.training
    assert plan.trials == ()


@pytest.mark.slow
def test_tiles_are_limited_and_the_thumbnail_is_extra():
    # Of 16 tokens each.
    assert make_plan(tiny(max_tiles=12, text_tokens=40)).samples.tokens == [13 * 16 + 40]
    assert make_plan(tiny(max_tiles=1, text_tokens=40)).samples.tokens == [16 + 40]
    assert make_plan(tiny(max_tiles=3, overrides=("preprocessing.use_thumbnail=false",))).samples.row.tiles == 3


def test_half_of_the_text_is_the_answer_unless_said_otherwise():
    assert make_plan(tiny(text_tokens=100)).samples.row.answer_tokens == 50
    assert make_plan(tiny(text_tokens=100, answer_tokens=7)).samples.row.answer_tokens == 7


def test_options_reach_the_recipe():
    plan = make_plan(tiny(method="qlora", micro_batch_size=2, overrides=("lora.rank=4",), sample_count=33))

    assert plan.recipe.packing.arrangement == "grouped"
    assert plan.samples.pack.rows == 2
    assert plan.recipe.quantisation == "nf4-double"
    assert plan.recipe.method == "lora"
    assert plan.recipe.optimisation.micro_batch_size == 2
    assert plan.recipe.lora.rank == 4
    assert plan.samples.steps_per_epoch == 3  # 33 samples, 16 a step


def test_a_recipe_of_the_package_can_be_planned():
    plan = make_plan(tiny(method="full", recipe="medical"))

    assert plan.recipe.name == "medical/full"
    assert plan.training.footprint.bytes_by_kind[Kind.OPTIMIZER] > 8 * 1_000_000


@pytest.mark.slow
def test_what_harms_nothing_is_tried_first_and_the_first_that_fits_ends_it():
    settings = tiny(max_tiles=12, text_tokens=400, overrides=("compute.gradient_checkpointing=false",))
    needed = make_plan(settings).training.needed_bytes
    plan = make_plan(PlanSettings(**{**settings.__dict__, "memory_bytes": needed - 1}))

    assert [trial.choice.said for trial in plan.trials] == ["compute activations again"]
    assert plan.training.fits is False
    assert plan.solution is plan.trials[-1]
    assert plan.solution.needed_bytes < needed


@pytest.mark.slow
def test_trials_end_with_one_that_fits_and_its_settings_make_it_so():
    settings = tiny(method="full", max_tiles=8, text_tokens=60, overrides=("optimisation.batch_size=2",))
    # The weights of full fine-tuning alone are 16 MB; those of LoRA far less.
    plan = make_plan(PlanSettings(**{**settings.__dict__, "memory_bytes": 940 * MB + 14 * MB}))
    *failed, fitting = plan.trials

    assert fitting.fits is True
    assert failed
    assert all(trial.fits is False for trial in failed)
    assert failed[0].choice.said == "hold the optimizer's state in 8 bits"
    assert "freeze the vision encoder" in [trial.choice.said for trial in plan.trials]
    changes = [f"{key}={value}" for key, value in fitting.choice.changes]
    again = make_plan(
        PlanSettings(
            model="tiny",
            method=fitting.choice.method,
            overrides=(*settings.overrides, *changes),
            text_tokens=60,
            answer_batch_size=2,
        )
    )
    assert again.training.needed_bytes == pytest.approx(fitting.needed_bytes, rel=1e-3)


def test_where_nothing_fits_there_is_no_solution_and_no_step_is_rehearsed_in_vain():
    plan = make_plan(tiny(memory_bytes=1 * MB, max_tiles=4))

    assert plan.solution is None
    assert all(trial.at_least for trial in plan.trials)
    # Fewer tiles do not make weights smaller.
    assert [trial.choice.said for trial in plan.trials] == [
        "hold the optimizer's state in 8 bits",
        "hold the language model in 4 bits (QLoRA)",
        "leave the vision encoder as it is",
    ]


def test_a_proposal_that_contradicts_the_recipe_is_passed_over():
    plan = make_plan(
        tiny(
            memory_bytes=1 * MB,
            max_tiles=1,
            overrides=("optimisation.learning_rates.vision=1e-5", "lora.projector=full"),
        )
    )
    with pytest.raises(RecipeError):
        load_recipe(
            "_shared/lora",
            overrides=["optimisation.learning_rates.vision=1e-5", "lora.vision=frozen"],
        )

    assert [trial.choice.said for trial in plan.trials] == [
        "hold the optimizer's state in 8 bits",
        "hold the language model in 4 bits (QLoRA)",
    ]


def test_a_cpu_needs_no_allowance():
    plan = make_plan(tiny(overrides=("compute.device=cpu",)))

    assert plan.device == "cpu"
    assert plan.training.needed_bytes == plan.training.footprint.total_bytes


def test_a_data_set_says_how_long_samples_are(squares, untrained):
    plan = make_plan(tiny(model=str(untrained), dataset=squares))

    assert plan.samples.count == 36
    assert plan.samples.text_counted is True
    assert plan.samples.row.tiles == 2


def test_a_recipe_that_mixes_general_data_in_is_planned_for_the_data_set_alone(squares, untrained):
    settings = tiny(model=str(untrained), dataset=squares, overrides=("mixture.general_ratio=0.5",))

    assert make_plan(settings).samples.count == 36


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"max_tiles": 0}, "1 to 40, got 0"),
        ({"max_tiles": 41}, "1 to 40, got 41"),
        ({"answer_tokens": 0}, "got 0"),
        ({"answer_tokens": 256}, "got 256"),
        ({"overrides": ("compute.device=cpu",), "memory_bytes": 10**9}, "compute.device is 'cpu'"),
        ({"overrides": ("lora.rnk=3",)}, "unknown key lora.rnk"),
        ({"recipe": "surgery"}, "There is no recipe 'surgery'"),
    ],
)
def test_settings_that_make_no_sense(changes, rule):
    with pytest.raises(UsageError, match=rule):
        make_plan(tiny(**changes))


def test_samples_are_counted_or_given_not_both(squares):
    with pytest.raises(UsageError, match="--samples must not be given too"):
        make_plan(tiny(dataset=squares, sample_count=3))
