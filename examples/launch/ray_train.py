"""Several GPUs of a Ray cluster: Ray Train starts the processes and connects them, the run is domainvl's own.

    python examples/launch/ray_train.py --workers 4 --recipe medical --data chest --model mini-internvl-1b --out run

It needs ``pip install 'ray[train]'``. ``--data``, ``--model`` and ``--out`` are on a disk that all machines share.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def train(settings: dict[str, Any]) -> None:
    """Do one process's part; Ray has said to it which one it is."""
    from domainvl.training.recipe_files import load_recipe
    from domainvl.training.run import finetune

    recipe = load_recipe(
        settings["recipe"], model=settings["model"], method=settings["method"], overrides=settings["changes"]
    )
    finetune(recipe, Path(settings["data"]), Path(settings["out"]), resume=settings["resume"])


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--model")
    parser.add_argument("--method")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="Without GPUs.")
    settings = vars(parser.parse_args())
    workers, on_cpu = settings.pop("workers"), settings.pop("cpu")
    for name in ("data", "out", "model", "recipe"):  # each worker has a working folder of its own
        if name == "out" or (settings[name] and Path(settings[name]).exists()):
            settings[name] = str(Path(settings[name]).resolve())

    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    scaling = ScalingConfig(num_workers=workers, use_gpu=not on_cpu)
    TorchTrainer(train, train_loop_config=settings, scaling_config=scaling).fit()


if __name__ == "__main__":
    main()
