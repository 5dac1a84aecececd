"""What is known of a sample besides its question and answer: what protocols select by and reports break down by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from domainvl.schema import Sample
from domainvl.schema.sample import EXAMPLE_OF

Facts: TypeAlias = Mapping[str, str]
"""Values by name, such as ``{"question_type": "presence", "task": "presence", "domain": "remote-sensing"}``."""


def sample_facts(sample: Sample) -> dict[str, str]:
    """Return what is known of a sample.

    Its domain, task, converter and kind of answer; and of its last image that shows no solved example the view and
    every plain value in the details of its source, under the name that the converter gave it.

    Args:
        sample: The sample.
    """
    facts = {
        "domain": sample.domain,
        "task": sample.task.value,
        "answer": sample.answer.kind,
        "converter": sample.provenance.converter,
    }
    own = [image for image in sample.images if EXAMPLE_OF not in image.source.details]
    if own:
        image = own[-1]
        if image.view is not None:
            facts["view"] = image.view
        for name, value in image.source.details.items():
            if isinstance(value, str | int | float | bool):
                facts.setdefault(name, str(value))
    return facts
