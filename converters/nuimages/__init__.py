"""nuImages: single camera images with 2D boxes that people drew, in tables like those of nuScenes.

The boxes are drawn in the image, not projected. They stop at the image's border and include, by best guess, what
another thing hides (nuscenes-devkit, docs/instructions_nuimages.md). The masks of things and of surfaces, which are
run-length encoded, are not read.
"""

from .convert import NuimagesConverter
from .settings import NuimagesSettings

__all__ = ["CONVERTER", "NuimagesConverter", "NuimagesSettings"]

CONVERTER = NuimagesConverter()
