"""A DriveLM file written by hand, with six plain images of full size."""

from __future__ import annotations

import pytest
from drivelm_files import Given, write_plain_images


@pytest.fixture(scope="session")
def plain_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    write_plain_images(folder)
    return folder


@pytest.fixture
def given(tmp_path, plain_images):
    return Given(tmp_path, plain_images)
