"""ms-swift on a job, by its own command, in its own environment (4.6.0: ``pip install ms-swift torchvision``).

It reads the model in transformers' own layout and the data as ``domainvl export --format ms-swift`` writes it.
"""

from __future__ import annotations

from pathlib import Path

from settings import METER, Job, Result, run_measured


def train(python: Path, job: Job, hf_model: Path, rows: Path, work: Path, *, max_tokens: int | None) -> Result:
    """Train.

    Args:
        python: Of its environment.
        job: What to do.
        hf_model: The job's model as ``domainvl model export`` writes it.
        rows: The job's data as ``domainvl export --format ms-swift`` writes it.
        work: Folder for what it leaves.
        max_tokens: Length of its packs; None does not pack.
    """
    name = "ms-swift, " + ("padded" if max_tokens is None else "packed")
    run = work / f"ms-swift-{'padded' if max_tokens is None else 'packed'}"
    run.mkdir(parents=True, exist_ok=True)
    options = {
        "model": hf_model,
        "model_type": "internvl",
        "template": "internvl_hf",
        "dataset": rows / "train.jsonl",
        "val_dataset": rows / "val.jsonl",
        "tuner_type": "full",
        "freeze_vit": str(job.freeze_vision).lower(),
        "freeze_aligner": "false",
        "freeze_llm": "false",
        "torch_dtype": "float32",
        "system": "",
        "output_dir": run / "out",
        "num_train_epochs": job.epochs,
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
        "max_length": max_tokens or 4096,
        "attn_impl": "sdpa",
        "gradient_checkpointing": "false",
        "seed": job.seed,
        "logging_steps": 1,
        "eval_strategy": "steps",
        "eval_steps": job.evaluated_every_steps,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": "true",
        "dataloader_num_workers": 0,
        "dataset_num_proc": 1,
        "packing": "true" if max_tokens else "false",
    }
    arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    measured = run / "measured.json"
    command = [str(python), str(METER), str(measured), "swift.cli.sft", *arguments]
    return run_measured(name, command, measured, folder=rows)
