"""Readable class names of nuScenes categories."""

from __future__ import annotations

_LABELS = {
    "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian",
    "human.pedestrian.police_officer": "pedestrian",
    "human.pedestrian.personal_mobility": "personal mobility device",
    "movable_object.pushable_pullable": "pushable object",
    "movable_object.trafficcone": "traffic cone",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.construction": "construction vehicle",
    "vehicle.emergency.police": "police car",
}
"""Where the last part of the category is not the name.

People are joined as in the classes of the nuScenes detection task (nuscenes-devkit, eval/detection/README.md), which
leaves wheelchairs, strollers and personal mobility devices out of the pedestrians.
"""


def label_of(category: str) -> str:
    """Return the class name of a category, such as ``"traffic cone"`` for ``"movable_object.trafficcone"``."""
    return _LABELS.get(category, category.rsplit(".", 1)[-1].replace("_", " "))
