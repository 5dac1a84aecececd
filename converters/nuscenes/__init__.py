"""nuScenes tables and camera images to questions about six views, about boxes in each, and about clips.

The format does not say under which licence the images are: nuScenes itself is CC BY-NC-SA 4.0, other data sets in its
layout and the generated one are not. Tables whose version and scenes are those of nuScenes are taken for it; for
others no licence is named.
"""

from .convert import NuscenesConverter
from .settings import NuscenesSettings

__all__ = ["CONVERTER", "NuscenesConverter", "NuscenesSettings"]

CONVERTER = NuscenesConverter()
