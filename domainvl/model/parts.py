"""The parts of an InternVL model: what belongs to which, and training parts of it in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from typing import Self

    from torch import nn
    from transformers import InternVLForConditionalGeneration

Part = Literal["vision", "projector", "language_model"]
"""The embeddings of the words and the output layer (``lm_head``) belong to the language model."""

PARTS: tuple[Part, ...] = get_args(Part)

LayeredPart = Literal["vision", "language_model"]

ADAPTER = "default"
"""peft's name for the only adapter of a model."""

Value = TypeVar("Value")


class PerPart(BaseModel, Generic[Value]):
    """Values that hold for single parts; a part that is None follows the value for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vision: Value | None = None
    projector: Value | None = None
    language_model: Value | None = None

    def named(self) -> dict[Part, Value]:
        """Return the values that are set."""
        values = {part: getattr(self, part) for part in PARTS}
        return {part: value for part, value in values.items() if value is not None}


class LastLayers(BaseModel):
    """How many of the last layers of a part are trained; all of them where None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vision: Annotated[int, Field(ge=1)] | None = None
    language_model: Annotated[int, Field(ge=1)] | None = None


class TrainedParts(BaseModel):
    """Which weights full fine-tuning trains.

    Attributes:
        vision: The vision encoder.
        projector: From the vision encoder's features to the language model's embeddings.
        language_model: The layers of the language model and its last norm.
        embeddings: Of the words that are read; None: trained if the whole language model is.
        lm_head: The output layer; None: trained if the whole language model is. In the official trainer the switch
            ``unfreeze_lm_head`` sets an attribute on the module, which has no effect; here it trains the layer.
        last_layers: Of a part that is trained, train only so many of its last layers and nothing else of it; the
            official ``unfreeze_vit_layers``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vision: bool = True
    projector: bool = True
    language_model: bool = True
    embeddings: bool | None = None
    lm_head: bool | None = None
    last_layers: LastLayers = LastLayers()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.last_layers.vision is not None and not self.vision:
            raise ValueError("full.last_layers.vision is set, but full.vision is false")
        if self.last_layers.language_model is not None and not self.language_model:
            raise ValueError("full.last_layers.language_model is set, but full.language_model is false")
        if not self.parts():
            raise ValueError("full: at least one part must be trained")
        return self

    def parts(self) -> frozenset[Part]:
        """Return the parts of which anything is trained."""
        words = self.language_model or self.embeddings or self.lm_head
        trained: dict[Part, bool] = {
            "vision": self.vision,
            "projector": self.projector,
            "language_model": bool(words),
        }
        return frozenset(part for part, wanted in trained.items() if wanted)


def part_of(parameter_name: str) -> Part:
    """Return the part that a parameter belongs to, by its name in the native class, wrapped by peft or not."""
    if ".vision_tower." in parameter_name:
        return "vision"
    if ".multi_modal_projector." in parameter_name:
        return "projector"
    return "language_model"


def layers_of(model: InternVLForConditionalGeneration, part: LayeredPart) -> list[Any]:
    """Return the transformer layers of a part, first to last; of a layer that peft trains in full, what it trains."""
    held: Any = model.model.vision_tower.encoder.layer if part == "vision" else model.model.language_model.layers
    return [layer.modules_to_save[ADAPTER] if hasattr(layer, "modules_to_save") else layer for layer in held]


def last_layer_indices(
    model: InternVLForConditionalGeneration, part: LayeredPart, count: int | None, key: str
) -> range:
    """Return the indices of the last layers of a part.

    Args:
        model: The model.
        part: The part.
        count: How many; all where None.
        key: Of the recipe, for the message.

    Raises:
        UsageError: If the part has fewer layers.
    """
    layer_count = len(layers_of(model, part))
    if count is None:
        return range(layer_count)
    if count > layer_count:
        raise UsageError(
            "Cannot train the last layers",
            rule=f"{key} must be at most {layer_count}, the layers there are, got {count}",
        )
    return range(layer_count - count, layer_count)


def train_in_full(model: InternVLForConditionalGeneration, settings: TrainedParts) -> None:
    """Let only the chosen weights of a model be trained.

    Raises:
        UsageError: If more layers are named than there are.
    """
    model.requires_grad_(False)
    for module in _trained_modules(model, settings):
        module.requires_grad_(True)
    whole = settings.language_model and settings.last_layers.language_model is None
    both = [whole if wanted is None else wanted for wanted in (settings.embeddings, settings.lm_head)]
    if model.get_input_embeddings().weight is model.lm_head.weight and both[0] != both[1]:
        raise UsageError(
            "Cannot train one of embeddings and output layer",
            rule=f"in this model they are one matrix; full.embeddings is {both[0]} and full.lm_head {both[1]}",
            action="Set both alike",
        )
    for module, wanted in (
        (model.get_input_embeddings(), settings.embeddings),
        (model.lm_head, settings.lm_head),
    ):
        module.requires_grad_(whole if wanted is None else wanted)


def _trained_modules(model: InternVLForConditionalGeneration, settings: TrainedParts) -> list[nn.Module]:
    modules: list[nn.Module] = []
    last = settings.last_layers
    if settings.vision and last.vision is None:
        modules.append(model.model.vision_tower)
    elif settings.vision:
        indices = last_layer_indices(model, "vision", last.vision, "full.last_layers.vision")
        modules += [layers_of(model, "vision")[index] for index in indices]
    if settings.projector:
        modules.append(model.model.multi_modal_projector)
    if settings.language_model and last.language_model is None:
        modules.append(model.model.language_model)
    elif settings.language_model:
        key = "full.last_layers.language_model"
        indices = last_layer_indices(model, "language_model", last.language_model, key)
        modules += [layers_of(model, "language_model")[index] for index in indices]
    return modules
