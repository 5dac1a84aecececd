"""Readable class names of categories, of nuScenes and of data sets in its layout."""

from __future__ import annotations

_LABELS = {
    "pedestrian.adult": "pedestrian",
    "pedestrian.child": "pedestrian",
    "construction_worker": "pedestrian",
    "police_officer": "pedestrian",
    "personal_mobility": "personal mobility device",
    "pushable_pullable": "pushable object",
    "trafficcone": "traffic cone",
    "bus.bendy": "bus",
    "bus.rigid": "bus",
    "vehicle.construction": "construction vehicle",
    "emergency.police": "police car",
}
"""Ends of categories of which the last part is not the name.

People are joined as in the classes of the nuScenes detection task (nuscenes-devkit, eval/detection/README.md), which
leaves wheelchairs, strollers and personal mobility devices out of the pedestrians. T4 names the same classes without
what stands before (tier4_perception_dataset, docs/t4_format_3d_detailed.md).
"""


def label_of(category: str) -> str:
    """Return the class name of a category, such as ``"traffic cone"`` for ``"movable_object.trafficcone"``."""
    rest = category
    while rest:
        if rest in _LABELS:
            return _LABELS[rest]
        rest = rest.partition(".")[2]
    return category.rsplit(".", 1)[-1].replace("_", " ")


STANDING = frozenset({"barrier", "bicycle rack", "debris", "pushable object", "traffic cone"})
"""Classes of which it is not asked whether they move; ours."""
