"""Tiny random checkpoints in the exact layout in which each family of InternVL was published.

Names, fusions and configuration keys are those of the published repositories; dimensions are small and differ from
those of the golden files.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

FAMILIES = ("qwen2", "internlm2", "phi3")
TEMPLATES = {"qwen2": "Hermes-2", "internlm2": "internlm2-chat", "phi3": "phi3-chat"}
ADDED = ("<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
TILE_SIDE_PX = 56
TOKENS_PER_TILE = 4
INTERNVL2_SYSTEM = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
)

_TEXTS = [
    "The ship lies at the pier, and the nodule measures 12.5 mm in the upper lobe.",
    "What is in this scene? Answer the question using a single word or phrase.",
    "Detect the red car on the road near the new building and count the trees.",
    "user assistant system 你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型 影像 Größe µm",
    "  two  spaces  and\nline breaks\n\n[[12, 340, 560, 999]] 1 2 3 4 5 6 7 8 9 0",
]
_PHI3_CHAT_TOKENS = (
    "<|endoftext|>",
    "<|assistant|>",
    *(f"<|placeholder{number}|>" for number in range(1, 5)),
    "<|system|>",
    "<|end|>",
    "<|placeholder5|>",
    "<|placeholder6|>",
    "<|user|>",
)
_LORA_TARGETS = {
    "qwen2": (*(f"self_attn.{name}_proj" for name in "qkvo"), *(f"mlp.{name}_proj" for name in ("gate", "up", "down"))),
    "internlm2": ("attention.wqkv", "attention.wo", *(f"feed_forward.w{number}" for number in (1, 2, 3))),
    "phi3": ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"),
    "vision": ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"),
}


def write_published(
    folder: Path,
    family: str,
    *,
    lora_rank: int = 0,
    backbone_lora_rank: int = 0,
    shards: int = 2,
    dtype: torch.dtype = torch.bfloat16,
    as_bin: bool = False,
    seed: int = 0,
    **config_overrides: Any,
) -> Path:
    """Write a checkpoint.

    Args:
        folder: Folder to make. Its name does not matter: ``conversation.py`` says which system message belongs to it.
        family: ``qwen2``, ``internlm2`` or ``phi3``.
        lora_rank: Of the adapters of the language model, saved as the official trainer saves them; 0 for none.
        backbone_lora_rank: The same of the vision encoder.
        shards: Number of files with tensors; one comes without an index.
        dtype: Of the tensors.
        as_bin: Write PyTorch's own files.
        seed: Of the weights.
        config_overrides: Keys of ``config.json``; those of a nested object are merged into it.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True)
    vocabulary_size = _write_tokenizer(folder, family)
    config = published_config(family, vocabulary_size)
    config |= {"use_llm_lora": lora_rank, "use_backbone_lora": backbone_lora_rank}
    for key, value in config_overrides.items():
        config[key] = {**config[key], **value} if isinstance(value, Mapping) else value
    write_json(folder / "config.json", config)
    (folder / "conversation.py").write_text(conversation_py(TEMPLATES[family]), encoding="utf-8")
    tensors = _plain_tensors(family, config, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    if lora_rank:
        tensors = _wrap(tensors, "language_model.", _LORA_TARGETS[family], lora_rank, generator)
    if backbone_lora_rank:
        tensors = _wrap(tensors, "vision_model.", _LORA_TARGETS["vision"], backbone_lora_rank, generator)
    write_weights(folder, {name: value.to(dtype) for name, value in tensors.items()}, shards=shards, as_bin=as_bin)
    return folder


def write_weights(folder: Path, tensors: Mapping[str, torch.Tensor], *, shards: int, as_bin: bool = False) -> None:
    """Write tensors, in their order, to files of about the same size, and an index if these are several."""
    stem, suffix = ("pytorch_model", ".bin") if as_bin else ("model", ".safetensors")
    total = sum(_bytes(value) for value in tensors.values())
    parts: list[dict[str, torch.Tensor]] = [{} for _ in range(shards)]
    written = 0
    for name, value in tensors.items():
        parts[min(written * shards // total, shards - 1)][name] = value.contiguous()
        written += _bytes(value)
    weight_map = {}
    for number, part in enumerate(parts, start=1):
        file = f"{stem}{suffix}" if shards == 1 else f"{stem}-{number:05d}-of-{shards:05d}{suffix}"
        weight_map |= dict.fromkeys(part, file)
        if as_bin:
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file, {"format": "pt"})
    if shards > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_json(folder / f"{stem}{suffix}.index.json", index)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.itemsize


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read all tensors of a folder, whatever its files."""
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    for path in sorted(folder.glob("*.bin")):
        tensors |= torch.load(path, weights_only=True)
    return tensors


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def edit_config(folder: Path, section: str | None = None, /, **changes: Any) -> None:
    """Change keys of ``config.json``, or of an object in it; None takes a key out."""
    config = read_json(folder / "config.json")
    target = config if section is None else config[section]
    for key, value in changes.items():
        if value is None:
            del target[key]
        else:
            target[key] = value
    write_json(folder / "config.json", config)


def conversation_py(template: str, system_message: str = INTERNVL2_SYSTEM) -> str:
    """Return what the published ``conversation.py`` says of one chat format, among others."""
    return f"""import dataclasses


@dataclasses.dataclass
class Conversation:
    name: str
    system_message: str = ''


conv_templates = {{}}


def register_conv_template(template):
    conv_templates[template.name] = template


register_conv_template(
    Conversation(
        name='another-chat',
        system_message='Another message.',
    )
)

register_conv_template(
    Conversation(
        name={template!r},
        system_template='<|im_start|>system\\n{{system_message}}',
        # system_message='A message that is not used.',
        system_message={system_message!r},
        roles=('<|im_start|>user\\n', '<|im_start|>assistant\\n'),
        sep='<|im_end|>',
    )
)
"""


def published_config(family: str, vocabulary_size: int) -> dict[str, Any]:
    """Return the nested configuration, with the keys that matter."""
    return {
        "architectures": ["InternVLChatModel"],
        "auto_map": {
            "AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
            "AutoModel": "modeling_internvl_chat.InternVLChatModel",
        },
        "model_type": "internvl_chat",
        "torch_dtype": "bfloat16",
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b",
            "attention_dropout": 0.0,
            "drop_path_rate": 0.0,
            "dropout": 0.0,
            "hidden_act": "gelu",
            "hidden_size": 32,
            "image_size": TILE_SIDE_PX,
            "initializer_factor": 0.1,
            "initializer_range": 0.02,
            "intermediate_size": 56,
            "layer_norm_eps": 1e-06,
            "norm_type": "layer_norm",
            "num_attention_heads": 4,
            "num_channels": 3,
            "num_hidden_layers": 2,
            "patch_size": 14,
            "qk_normalization": False,
            "qkv_bias": True,
            "use_flash_attn": True,
        },
        "llm_config": {
            "vocab_size": vocabulary_size,
            "hidden_size": 48,
            "intermediate_size": 72,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "hidden_act": "silu",
            "initializer_range": 0.02,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            **_text_config(family),
        },
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": TILE_SIDE_PX,
        "max_dynamic_patch": 12,
        "min_dynamic_patch": 1,
        "pad2square": False,
        "ps_version": "v2",
        "select_layer": -1,
        "template": TEMPLATES[family],
        "tie_word_embeddings": False,
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "use_thumbnail": True,
    }


def _text_config(family: str) -> dict[str, Any]:
    match family:
        case "qwen2":
            return {
                "architectures": ["Qwen2ForCausalLM"],
                "model_type": "qwen2",
                "max_position_embeddings": 512,
                "rms_norm_eps": 1e-06,
                "rope_theta": 1000000.0,
                "sliding_window": 4096,
                "use_sliding_window": False,
            }
        case "internlm2":
            return {
                "architectures": ["InternLM2ForCausalLM"],
                "model_type": "internlm2",
                "bias": False,
                "bos_token_id": 1,
                "eos_token_id": 2,
                "pad_token_id": 2,
                "max_position_embeddings": 64,
                "rms_norm_eps": 1e-05,
                "rope_theta": 1000000,
                "rope_scaling": {"type": "dynamic", "factor": 2.0},
            }
        case "phi3":
            return {
                "architectures": ["Phi3ForCausalLM"],
                "model_type": "phi3",
                "bos_token_id": 1,
                "eos_token_id": 32000,
                "pad_token_id": 32000,
                "max_position_embeddings": 512,
                "original_max_position_embeddings": 32,
                "rms_norm_eps": 1e-05,
                "rope_theta": 10000.0,
                "rope_scaling": {
                    "type": "su",
                    "short_factor": [1.0, 1.05, 1.1, 1.2, 1.3, 1.4],
                    "long_factor": [1.0, 1.3, 1.9, 2.6, 3.1, 4.2],
                },
                "sliding_window": 262144,
            }
    raise ValueError(family)


class _Weights:
    """Draws random tensors by name."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self.tensors: dict[str, torch.Tensor] = {}

    def weight(self, name: str, *shape: int, spread: float = 0.0) -> None:
        scale = spread or shape[-1] ** -0.5
        self.tensors[name] = torch.randn(shape, generator=self._generator) * scale

    def bias(self, name: str, size: int) -> None:
        self.weight(name, size, spread=0.1)

    def norm(self, name: str, size: int) -> None:
        self.tensors[name] = 1.0 + 0.2 * torch.randn(size, generator=self._generator)


def _plain_tensors(family: str, config: Mapping[str, Any], seed: int) -> dict[str, torch.Tensor]:
    weights = _Weights(seed)
    _draw_vision(weights, config["vision_config"])
    _draw_text(weights, family, config["llm_config"])
    _draw_projector(weights, 4 * config["vision_config"]["hidden_size"], config["llm_config"]["hidden_size"])
    return weights.tensors


def _draw_vision(draw: _Weights, vision: Mapping[str, Any]) -> None:
    width, patch = vision["hidden_size"], vision["patch_size"]
    positions = (vision["image_size"] // patch) ** 2 + 1
    draw.weight("vision_model.embeddings.class_embedding", 1, 1, width, spread=0.5)
    draw.weight("vision_model.embeddings.position_embedding", 1, positions, width, spread=0.5)
    draw.weight("vision_model.embeddings.patch_embedding.weight", width, 3, patch, patch, spread=0.05)
    draw.bias("vision_model.embeddings.patch_embedding.bias", width)
    for number in range(vision["num_hidden_layers"]):
        layer = f"vision_model.encoder.layers.{number}."
        draw.norm(f"{layer}ls1", width)
        draw.norm(f"{layer}ls2", width)
        for name, rows, columns in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", vision["intermediate_size"], width),
            ("mlp.fc2", width, vision["intermediate_size"]),
        ):
            draw.weight(f"{layer}{name}.weight", rows, columns)
            draw.bias(f"{layer}{name}.bias", rows)
        for name in ("norm1", "norm2"):
            draw.norm(f"{layer}{name}.weight", width)
            draw.bias(f"{layer}{name}.bias", width)


def _draw_text(draw: _Weights, family: str, text: Mapping[str, Any]) -> None:
    size, embedding, output = text["hidden_size"], "embed_tokens", "lm_head"
    if family == "internlm2":
        embedding, output = "tok_embeddings", "output"
    draw.weight(f"language_model.model.{embedding}.weight", text["vocab_size"], size, spread=1.0)
    for number in range(text["num_hidden_layers"]):
        for name, rows, columns in _text_layer(family, text):
            full = f"language_model.model.layers.{number}.{name}"
            if columns is None:
                draw.norm(f"{full}.weight", rows)
            else:
                draw.weight(f"{full}.weight", rows, columns)
            if family == "qwen2" and name.endswith(("q_proj", "k_proj", "v_proj")):
                draw.bias(f"{full}.bias", rows)
    draw.norm("language_model.model.norm.weight", size)
    draw.weight(f"language_model.{output}.weight", text["vocab_size"], size)


def _text_layer(family: str, text: Mapping[str, Any]) -> list[tuple[str, int, int | None]]:
    """Return names, rows and columns of one layer; a norm has no columns."""
    size, inner = text["hidden_size"], text["intermediate_size"]
    head = size // text["num_attention_heads"]
    queries, keys = text["num_attention_heads"] * head, text["num_key_value_heads"] * head
    match family:
        case "qwen2":
            return [
                ("self_attn.q_proj", queries, size),
                ("self_attn.k_proj", keys, size),
                ("self_attn.v_proj", keys, size),
                ("self_attn.o_proj", size, queries),
                ("mlp.gate_proj", inner, size),
                ("mlp.up_proj", inner, size),
                ("mlp.down_proj", size, inner),
                ("input_layernorm", size, None),
                ("post_attention_layernorm", size, None),
            ]
        case "internlm2":
            return [
                ("attention.wqkv", queries + 2 * keys, size),
                ("attention.wo", size, queries),
                ("feed_forward.w1", inner, size),
                ("feed_forward.w3", inner, size),
                ("feed_forward.w2", size, inner),
                ("attention_norm", size, None),
                ("ffn_norm", size, None),
            ]
    return [
        ("self_attn.o_proj", size, queries),
        ("self_attn.qkv_proj", queries + 2 * keys, size),
        ("mlp.gate_up_proj", 2 * inner, size),
        ("mlp.down_proj", size, inner),
        ("input_layernorm", size, None),
        ("post_attention_layernorm", size, None),
    ]


def _draw_projector(draw: _Weights, wide: int, size: int) -> None:
    draw.norm("mlp1.0.weight", wide)
    draw.bias("mlp1.0.bias", wide)
    for name, columns in (("mlp1.1", wide), ("mlp1.3", size)):
        draw.weight(f"{name}.weight", size, columns)
        draw.bias(f"{name}.bias", size)


def _wrap(
    tensors: Mapping[str, torch.Tensor], part: str, targets: tuple[str, ...], rank: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Name a part's tensors as peft does, and put the two factors beside each target."""
    wrapped: dict[str, torch.Tensor] = {}
    for name, value in tensors.items():
        if not name.startswith(part):
            wrapped[name] = value
            continue
        module, _, kind = f"{part}base_model.model.{name.removeprefix(part)}".rpartition(".")
        if not module.endswith(targets):
            wrapped[f"{module}.{kind}"] = value
            continue
        wrapped[f"{module}.base_layer.{kind}"] = value
        if kind == "weight":
            rows, columns = value.shape
            wrapped[f"{module}.lora_A.default.weight"] = 0.2 * torch.randn(rank, columns, generator=generator)
            wrapped[f"{module}.lora_B.default.weight"] = 0.2 * torch.randn(rows, rank, generator=generator)
    return wrapped


def _write_tokenizer(folder: Path, family: str) -> int:
    """Write the files of a family's tokenizer; return the number of its tokens."""
    if family == "qwen2":
        base = _write_byte_level(folder)
        extra = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *ADDED)
        roles = {"bos_token": None, "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
        own: dict[str, Any] = {"tokenizer_class": "Qwen2Tokenizer", "errors": "replace"}
    else:
        content, base = sentencepiece_model(prefix=family == "phi3")
        (folder / "tokenizer.model").write_bytes(content)
        end = "</s>" if family == "internlm2" else "<|endoftext|>"
        roles = {"bos_token": "<s>", "eos_token": end, "pad_token": end, "unk_token": "<unk>"}
        if family == "internlm2":
            extra = ("<|im_start|>", "<|im_end|>", *ADDED)
            own = {
                "tokenizer_class": "InternLM2Tokenizer",
                "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
            }
        else:
            extra = (*_PHI3_CHAT_TOKENS, *ADDED)
            own = {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_bos_token": True, "add_eos_token": False}
    decoder = {base + offset: _added_token(token, family) for offset, token in enumerate(extra)}
    if family != "qwen2":
        decoder |= {index: _added_token(token, "") for index, token in enumerate(("<unk>", "<s>", "</s>"))}
    write_json(folder / "added_tokens.json", {token: base + offset for offset, token in enumerate(extra)})
    write_json(
        folder / "tokenizer_config.json",
        {
            "added_tokens_decoder": {str(index): decoder[index] for index in sorted(decoder)},
            "additional_special_tokens": list(extra),
            "clean_up_tokenization_spaces": False,
            "model_max_length": 8192,
            **roles,
            **own,
        },
    )
    write_json(
        folder / "special_tokens_map.json",
        {"additional_special_tokens": list(extra), **{key: token for key, token in roles.items() if token}},
    )
    return base + len(extra)


def _added_token(token: str, family: str) -> dict[str, Any]:
    """Phi-3's chat tokens take the blanks to their right."""
    takes_blanks = family == "phi3" and token in _PHI3_CHAT_TOKENS
    flags = {"lstrip": False, "normalized": False, "rstrip": takes_blanks, "single_word": False}
    return {"content": token, **flags, "special": True}


@functools.cache
def sentencepiece_model(*, prefix: bool, vocabulary_size: int = 340) -> tuple[bytes, int]:
    """Train a SentencePiece model of the published kind: byte pairs with byte fallback, text left as it is.

    Returns:
        The file and the number of its pieces.
    """
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXTS * 4),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocabulary_size,
        character_coverage=0.98,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=prefix,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue(), vocabulary_size


@functools.cache
def _byte_level_files() -> tuple[str, str]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_TEXTS * 4, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return json.dumps(model["vocab"], ensure_ascii=False), "\n".join(["#version: 0.2", *merges, ""])


def _write_byte_level(folder: Path) -> int:
    vocabulary, merges = _byte_level_files()
    (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    return len(json.loads(vocabulary))
