"""The traps of the libraries that would have cost days, and where each is tested.

1. Packed samples see each other with ``use_cache`` at its default or a mask of ones.
    - tests/model/test_packed_attention.py: test_no_sample_sees_another, test_transformers_own_masks_leak,
      test_loss_and_gradients_are_those_of_separate_samples
    - tests/training/test_against_trainer.py: test_a_run_has_the_losses_of_the_trainer
2. A full fine-tune goes on from untrained weights, since transformers' names on disk are not those of the class.
    - tests/training/test_run.py: test_resumed_equals_uninterrupted
    - tests/model/published/test_importing.py: test_names_on_disk_are_those_of_the_class
    - tests/training/test_traps.py: test_a_full_fine_tune_is_loaded_as_it_was_left,
      test_names_that_transformers_writes_are_not_those_of_the_class
3. Words read and words written are tied, whatever the language model's own configuration says.
    - tests/model/test_sizes.py: test_every_part_has_the_published_parameters,
      test_words_read_and_words_written_are_not_tied
    - tests/model/published/test_importing.py: test_embeddings_stay_untied_after_saving_and_loading
4. Phi-3's ``su`` scaling of positions is refused.
    - tests/model/published/test_importing.py: test_su_rope_is_accepted
    - tests/model/published/test_config.py: test_both_names_of_longrope
5. A bare sentencepiece model gives wrong token ids.
    - tests/model/published/test_tokenizer.py: test_ids_are_those_of_sentencepiece,
      test_any_text_has_the_ids_of_sentencepiece
6. What needs torchvision replaces a CPU torch by a CUDA one; .ci/run looks into a fresh environment too.
    - tests/training/test_traps.py: test_nothing_that_is_installed_with_it_brings_torchvision
7. accelerate computes DDP on a CPU where FSDP is asked for; the engine is torch's own.
    - tests/training/test_traps.py: test_no_module_uses_what_hides_the_engine
    - tests/training/test_parallel.py: test_two_processes_equal_one
8. Threads of OpenMP that spin slow each other down.
    - tests/training/test_traps.py: test_checks_run_with_one_thread_a_process
9. Short names of modules that are not to be quantised match nothing.
    - tests/model/test_quantisation.py: test_linear_layers_of_the_language_model_and_nothing_else
    - tests/training/test_traps.py: test_modules_that_stay_whole_exist_by_their_whole_names
"""

from __future__ import annotations

import ast
import re
from importlib import metadata
from pathlib import Path

import pytest
import torch
from architectures import small_model
from safetensors import safe_open

from domainvl.model.checkpoint import load_model
from domainvl.model.quantisation import KEPT_WHOLE
from domainvl.training.log import read_log
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune

ROOT = Path(__file__).parents[2]


def test_every_test_of_the_table_exists() -> None:
    entries = re.findall(r"- (tests/[\w/]+\.py): ((?:test_\w+,?\s*)+)", __doc__ or "")
    assert len(entries) == (__doc__ or "").count("tests/")
    named = {file: set() for file, _ in entries}
    for file, tests in entries:
        named[file] |= set(re.findall(r"test_\w+", tests))
    for file, tests in named.items():
        defined = {node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)}
        assert tests <= defined, file


# Trap 2


def test_a_full_fine_tune_is_loaded_as_it_was_left(squares: Path, untrained: Path, tmp_path: Path) -> None:
    """Stopped and gone on with; then loaded by transformers alone, and by a run that starts from it and stays."""
    from transformers import InternVLForConditionalGeneration

    changes = ["optimisation.max_steps=4", "optimisation.batch_size=4", "validation.max_samples=6"]
    changes += ["validation.every_steps=1", "validation.answers=0"]
    recipe = load_recipe("quickstart/medical", method="full", model=str(untrained), overrides=changes)
    finetune(recipe, squares, tmp_path / "first", stop_after_step=2)
    finetune(recipe, squares, tmp_path / "first", resume=True)
    model, report = InternVLForConditionalGeneration.from_pretrained(
        tmp_path / "first" / "checkpoint", local_files_only=True, output_loading_info=True
    )
    assert not any(report.values())
    ours = load_model(str(tmp_path / "first")).internvl.state_dict()
    before = load_model(str(untrained)).internvl.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, ours[name])
        assert not torch.equal(value, before[name])  # nothing of it is as it was

    still = [*changes, "optimisation.max_steps=1", "optimisation.learning_rate=1e-30"]
    again = load_recipe("quickstart/medical", method="full", model=str(tmp_path / "first"), overrides=still)
    finetune(again, squares, tmp_path / "second")
    looks = [read_log(tmp_path / name / "log.jsonl")[-1] for name in ("first", "second")]
    assert [look["kind"] for look in looks] == ["validation", "validation"]
    assert looks[1]["loss"] == pytest.approx(looks[0]["loss"], rel=1e-6)


def test_names_that_transformers_writes_are_not_those_of_the_class(tmp_path: Path) -> None:
    """The trap itself: names under which a strict load finds nothing. Should this fail one day, the trap is gone."""
    model = small_model()
    for folder, options in (("default", {}), ("ours", {"save_original_format": False})):
        model.save_pretrained(tmp_path / folder, **options)
        with safe_open(tmp_path / folder / "model.safetensors", "pt") as file:
            assert (set(file.keys()) == set(model.state_dict())) is (folder == "ours")


# Trap 6, and accelerate

BRINGS_CUDA = {"torchvision", "torchaudio", "timm", "open-clip-torch"}


def test_nothing_that_is_installed_with_it_brings_torchvision() -> None:
    """Follows what each package asks for, extras of our own included, as far as it is installed."""
    seen: set[str] = set()
    waiting = ["domainvl"]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            wanted = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        taken = [one for one in wanted if name == "domainvl" or "extra ==" not in one]
        waiting += [_normal(re.match(r"[\w.-]+", one).group()) for one in taken]
    assert {"torch", "transformers", "peft", "bitsandbytes", "ray"} <= seen
    assert not seen & BRINGS_CUDA


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_module_uses_what_hides_the_engine() -> None:
    """What several processes do is torch's own: accelerate's plugins fall back without a word."""
    imported = set()
    for tree in ("domainvl", "converters", "recipes"):
        for path in (ROOT / tree).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    imported.add(node.module.split(".")[0])
    assert {"torch", "transformers", "peft"} <= imported
    assert not imported & {"accelerate", "deepspeed", "torchvision", "timm", "trl"}


# OpenMP, and names that are not quantised


def test_checks_run_with_one_thread_a_process() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert re.search(r"^export OMP_NUM_THREADS=1$", script, re.MULTILINE)
    assert script.index("export OMP_NUM_THREADS=1") < script.index("pytest -q")


def test_modules_that_stay_whole_exist_by_their_whole_names(untrained: Path) -> None:
    modules = dict(load_model(str(untrained)).internvl.named_modules())
    assert set(KEPT_WHOLE) <= set(modules)
    linear = {name for name, module in modules.items() if isinstance(module, torch.nn.Linear)}
    left = {name for name in linear if not name.startswith(KEPT_WHOLE)}
    assert left and all(name.startswith("model.language_model.layers.") for name in left)
