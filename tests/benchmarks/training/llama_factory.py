"""LLaMA-Factory on a job, by its own command, in its own environment (0.9.5 in a venv: ``pip install llamafactory``).

It reads the model in transformers' own layout and the data as ``domainvl export --format sharegpt`` writes it. What
cannot be made equal: its image processor takes at most 12 tiles an image, or 1 (``crop_to_patches: false``, as here
where a sample has one tile an image); a batch without an image gets a blank one.
"""

from __future__ import annotations

import json
from pathlib import Path

from settings import METER, Job, Result, run_measured


def train(python: Path, job: Job, hf_model: Path, sharegpt: Path, work: Path, *, max_tokens: int | None) -> Result:
    """Train.

    Args:
        python: Of its environment.
        job: What to do.
        hf_model: The job's model as ``domainvl model export`` writes it.
        sharegpt: The job's data as ``domainvl export --format sharegpt`` writes it.
        work: Folder for what it leaves.
        max_tokens: Length of its packs, which it fills up with padding (``neat_packing``); None does not pack.
    """
    name = "LLaMA-Factory, " + ("padded" if max_tokens is None else "packed")
    run = work / f"llama-factory-{'padded' if max_tokens is None else 'packed'}"
    run.mkdir(parents=True, exist_ok=True)
    dataset = next(key.removesuffix("_train") for key in json.loads((sharegpt / "dataset_info.json").read_text()))
    # Its collator pads to a multiple of 8 and forgets the positions: another length of packs ends with "RuntimeError:
    # The size of tensor a (1408) must match the size of tensor b (1401) at non-singleton dimension 2".
    packing = {"neat_packing": True, "cutoff_len": -(-max_tokens // 8) * 8} if max_tokens else {"cutoff_len": 4096}
    options = {
        "model_name_or_path": str(hf_model),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full",
        "freeze_vision_tower": job.freeze_vision,
        "freeze_multi_modal_projector": False,
        "freeze_language_model": False,
        "template": "intern_vl",
        "default_system": "",
        "crop_to_patches": job.max_tiles > 1,
        "dataset_dir": str(sharegpt),
        "media_dir": str(sharegpt),
        "dataset": f"{dataset}_train",
        "eval_dataset": f"{dataset}_val",
        **packing,
        "overwrite_cache": True,
        "output_dir": str(run / "out"),
        "overwrite_output_dir": True,
        "num_train_epochs": float(job.epochs),
        "per_device_train_batch_size": 1 if max_tokens else job.batch_size,
        "per_device_eval_batch_size": 1 if max_tokens else job.batch_size,
        "gradient_accumulation_steps": 1,
        "learning_rate": job.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": job.warmup_ratio,
        "weight_decay": job.weight_decay,
        "adam_beta1": job.betas[0],
        "adam_beta2": job.betas[1],
        "max_grad_norm": job.max_grad_norm,
        "optim": "adamw_torch",
        "flash_attn": "sdpa",
        "disable_gradient_checkpointing": True,
        "seed": job.seed,
        "logging_steps": 1,
        "eval_strategy": "steps",
        "eval_steps": job.evaluated_every_steps,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "dataloader_num_workers": 0,
        "preprocessing_num_workers": 1,
    }
    recipe = run / "train.yaml"
    recipe.write_text(json.dumps(options, indent=1))  # JSON is YAML; it cannot read its .json files.
    measured = run / "measured.json"
    command = [str(python), str(METER), str(measured), "llamafactory.cli:main", "train", str(recipe)]
    return run_measured(name, command, measured, folder=run)
