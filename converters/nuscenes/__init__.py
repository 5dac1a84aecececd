"""nuScenes tables and camera images to six-view and one-view questions about projected boxes.

The format does not say under which licence the images are: nuScenes itself is CC BY-NC-SA 4.0, other data
sets in its layout and the generated one are not. The converter therefore names none.
"""

from .convert import NuscenesConverter
from .settings import NuscenesSettings

__all__ = ["CONVERTER", "NuscenesConverter", "NuscenesSettings"]

CONVERTER = NuscenesConverter()
