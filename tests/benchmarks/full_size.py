"""A model of published size and layout with random weights: written, imported, run once; time and peak memory.

    python tests/benchmarks/full_size.py --model 1b --folder DIR

The 1B takes about 4 GB of disk (1.9 GB twice). Its tokenizer has the published number of tokens, most of them
unreachable.
"""

from __future__ import annotations

import argparse
import json
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import pre_tokenizers

from domainvl.model.chat import INTERNVL2_SYSTEM_MESSAGE, Chat
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.published.config import published_config
from domainvl.model.published.layout import published_bindings
from domainvl.model.published.tensors import CheckpointTensors, TensorInfo, write_tensors
from domainvl.model.published.transfer import model_shapes
from domainvl.model.sizes import build_on_meta, size_config
from domainvl.model.tokens import ADDED_TOKENS

WORDS = 151_643
CHAT_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def write_full_size(folder: Path, size: str) -> None:
    config = size_config(size)
    shapes = model_shapes(build_on_meta(config))
    generator = torch.Generator().manual_seed(0)
    infos: dict[str, TensorInfo] = {}
    parts: dict[str, list[tuple[int, ...]]] = {}
    bindings = published_bindings(config)
    for binding in bindings:
        parts[binding.stored] = [shapes[name] for name in binding.native]
        rows = sum(shape[0] for shape in parts[binding.stored])
        infos[binding.stored] = TensorInfo(torch.bfloat16, (rows, *parts[binding.stored][0][1:]))

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        for binding in bindings:
            drawn = [random_tensor(binding.stored, shape, generator) for shape in parts[binding.stored]]
            yield binding.stored, binding.join(drawn)

    folder.mkdir(parents=True)
    write_tensors(folder, infos, tensors())
    chat = Chat(format="Hermes-2", system_message=INTERNVL2_SYSTEM_MESSAGE)
    made = published_config(config, chat, Preprocessing(), "bfloat16")
    (folder / "config.json").write_text(json.dumps(made))
    write_tokenizer(folder)


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    drawn = torch.empty(shape).normal_(0.0, 0.02, generator=generator)
    if "norm" in name and name.endswith("weight"):
        drawn += 1.0
    return drawn.to(torch.bfloat16)


def write_tokenizer(folder: Path) -> None:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(first, second) for first in string.ascii_lowercase for second in string.ascii_lowercase]
    words = letters + [first + second for first, second in pairs]
    words += [f"unreachable{number}" for number in range(WORDS - len(words))]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    merges = [f"{first} {second}" for first, second in pairs]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    added = {token: WORDS + index for index, token in enumerate([*CHAT_TOKENS, *ADDED_TOKENS])}
    (folder / "added_tokens.json").write_text(json.dumps(added))
    content = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 8192,
        "added_tokens_decoder": {
            str(index): {"content": token, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            | {"single_word": False}
            for token, index in added.items()
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(content))


def run(*arguments: str) -> None:
    """Run a command of domainvl in a process of its own; it says itself what it took."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "domainvl", *arguments], check=True)
    print(f"  {' '.join(arguments[:2])}: {time.perf_counter() - started:.1f} s in all", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="1b", choices=["1b"])
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    published = options.folder / f"InternVL2-{options.model.upper()}"
    if not published.exists():
        started = time.perf_counter()
        write_full_size(published, options.model)
        print(f"  written in {time.perf_counter() - started:.1f} s")
    native = options.folder / "imported"
    run("model", "import", str(published), "--out", str(native), "--overwrite")
    run("model", "import", str(published), "--out", str(native), "--overwrite", "--check")
    run("model", "export", str(native), "--to", "published", "--out", str(options.folder / "exported"), "--overwrite")
    print(f"  tensors that differ after import and export: {count_different(published, options.folder / 'exported')}")


def count_different(one: Path, other: Path) -> int:
    left, right = CheckpointTensors(one), CheckpointTensors(other)
    names = left.infos.keys() | right.infos.keys()
    return sum(
        left.infos.get(name) != right.infos.get(name) or not torch.equal(left.read(name), right.read(name))
        for name in names
    )


if __name__ == "__main__":
    main()
