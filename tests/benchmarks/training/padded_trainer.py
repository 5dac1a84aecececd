"""The plain way: transformers' Trainer on padded rows, with the samples that the project's own encoder gives.

python padded_trainer.py JOB.json MEASURED.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from meter import Meter, trainer_callback
from settings import Job, Result, load_job, run_measured

TESTS = Path(__file__).parents[2]


def train_padded(job: Job, work: Path) -> Result:
    """Run this file in a process of its own."""
    path, measured = work / "padded-job.json", work / "padded.json"
    job.save(path)
    command = [sys.executable, __file__, str(path), str(measured)]
    return run_measured("Trainer, padded", command, measured, folder=work, environment={"PYTHONPATH": str(TESTS)})


def main() -> None:
    """Train in this process."""
    from training.trainer_oracle import EncodedSample, TrainerSettings, padded_trainer

    from domainvl.model.checkpoint import load_model
    from domainvl.model.preprocessing import TileReader
    from domainvl.schema import Sample, SampleFile, Split

    job, measured = load_job(Path(sys.argv[1])), Path(sys.argv[2])
    loaded = load_model(str(job.model))
    preprocessing = loaded.spec.preprocessing.model_copy(update={"max_tiles": job.max_tiles})
    encoder, reader = loaded.encoder(), TileReader(job.dataset, preprocessing)
    loaded.internvl.model.vision_tower.requires_grad_(not job.freeze_vision)

    class Encoded(Sequence[EncodedSample]):
        """Encodes a sample and reads its images when it is asked for."""

        def __init__(self, samples: Sequence[Sample]) -> None:
            self._samples = samples

        def __len__(self) -> int:
            return len(self._samples)

        def __getitem__(self, index: int) -> EncodedSample:  # type: ignore[override]
            sample = self._samples[index]
            counts = [grid.tile_count for grid in preprocessing.grids(sample.images)]
            return EncodedSample(encoder.encode(sample.turns, counts), tuple(reader.read(sample.images)))

    train = SampleFile(job.dataset, Split.TRAIN)
    generator, size = np.random.default_rng(job.seed), job.batch_size
    batches: list[list[int]] = []
    for _ in range(job.epochs):
        order = [int(index) for index in generator.permutation(len(train))]
        batches += [order[start : start + size] for start in range(0, len(order), size)]
    settings = TrainerSettings(
        job.learning_rate, job.warmup_ratio, job.weight_decay, job.betas, max_grad_norm=job.max_grad_norm
    )
    trainer = padded_trainer(
        loaded,
        Encoded(train),
        batches,
        settings,
        evaluated=Encoded(list(SampleFile(job.dataset, Split.VAL))),
        evaluated_every_steps=job.evaluated_every_steps,
    )
    meter = Meter()
    trainer.add_callback(trainer_callback(meter))
    trainer.train()
    measured.write_text(json.dumps(meter.measured()))


if __name__ == "__main__":
    main()
