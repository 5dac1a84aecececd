"""Paths in metadata lead into their folder, or are refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.converters.benchmarks.reading import image_name_of
from domainvl.converters.drivelm.graph_file import image_file
from domainvl.converters.paths import is_inside
from domainvl.errors import ItemError

OUTSIDE = ["../a.jpg", "a/../../b.jpg", "a/../b.jpg", "/a.jpg", "//a.jpg", "", ".", "a\\b.jpg", "..\\a.jpg", "a\0.jpg"]


@pytest.mark.parametrize("name", ["a.jpg", "a/b.jpg", "./a.jpg", "a..b/..c.jpg", "a/ é.jpg"])
def test_a_path_below_the_folder_is_inside(name: str) -> None:
    assert is_inside(name)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_path_that_leads_out_or_nowhere_is_not(name: str) -> None:
    assert not is_inside(name)


@given(st.text(alphabet="a./\\\0", max_size=8))
def test_what_is_inside_lies_below_the_folder(name: str) -> None:
    if is_inside(name):
        assert os.path.normpath(os.path.join("/data/in", name)).startswith("/data/in/")


@pytest.mark.parametrize("name", OUTSIDE)
def test_drv_02_readers_refuse_such_paths(name: str) -> None:
    with pytest.raises(ItemError):
        image_name_of({"image": name}, "image", "row 1")


@pytest.mark.parametrize("name", ["../nuscenes/a/../../b.jpg", "//etc/a.jpg", "a\\b.jpg", "a\0.jpg", "../.."])
def test_drv_02_drivelm_refuses_such_paths(name: str) -> None:
    with pytest.raises(ItemError, match="in the data root"):
        image_file(name)
