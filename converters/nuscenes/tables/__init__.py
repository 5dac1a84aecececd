"""The tables of a nuScenes data set: read as a stream, joined to scenes, and kept in an index on disk."""

from .finding import find_tables
from .index import IndexGoneError, SceneIndex, SceneSummary, cached_index, open_index, read_scene
from .names import SceneNames, read_scene_names

__all__ = [
    "IndexGoneError",
    "SceneIndex",
    "SceneNames",
    "SceneSummary",
    "cached_index",
    "find_tables",
    "open_index",
    "read_scene",
    "read_scene_names",
]
