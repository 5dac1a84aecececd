"""The list of formats, and the two ways to write a conversation that several of them share."""

from __future__ import annotations

import subprocess
import sys

import pytest

from domainvl.errors import ItemError, UsageError
from domainvl.schema import Turn
from domainvl.schema.exchange import ImageMode, format_names, load_format
from domainvl.schema.exchange.formats import (
    PlacedImage,
    from_conversations,
    from_messages,
    to_conversations,
    to_messages,
)

TURNS = (Turn(role="human", text="a"), Turn(role="assistant", text="b\n"))


def test_every_format_says_what_it_is():
    assert format_names() == ["hub", "internvl", "llava", "ms-swift", "openai", "sharegpt", "vlmevalkit"]
    for name in format_names():
        kind = load_format(name)
        assert kind.name == name
        assert kind.summary
        assert "box" in kind.boxes
        assert ImageMode.REFERENCE in kind.image_modes


def test_an_unknown_format():
    with pytest.raises(UsageError, match="got 'coco'"):
        load_format("coco")


def test_conversations():
    written = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b\n"}]

    assert to_conversations(TURNS) == written
    assert from_conversations(written) == TURNS
    with pytest.raises(KeyError):
        from_conversations([{"from": "user", "value": "a"}])


def test_messages():
    written = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b\n"}]

    assert to_messages(TURNS) == written
    assert from_messages(written) == TURNS
    with pytest.raises(KeyError):
        from_messages([{"role": "system", "content": "a"}])


def test_a_file_that_cannot_be_read_costs_one_sample(tmp_path):
    with pytest.raises(ItemError, match="No such file") as caught:
        PlacedImage("images/a.png", tmp_path / "images/a.png", ImageMode.EMBED).read()
    assert caught.value.reason == "image-missing"


def test_importing_the_package_imports_no_heavy_library():
    code = "import sys, domainvl.schema.exchange, domainvl.schema.packing; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert {"datasets", "pyarrow", "torch"} & set(done.stdout.split()) == set()
