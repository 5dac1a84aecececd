"""Compares the official lists of scenes with those of the installed devkit. It needs the extra ``devkit``.

python tests/peers/compare_splits.py
"""

from __future__ import annotations

import sys

from domainvl.converters.nuscenes.splits import official_split
from domainvl.schema import Split

VERSIONS = {
    "train": ("v1.0-trainval", Split.TRAIN),
    "val": ("v1.0-trainval", Split.VAL),
    "test": ("v1.0-test", Split.TEST),
    "mini_train": ("v1.0-mini", Split.TRAIN),
    "mini_val": ("v1.0-mini", Split.VAL),
}
"""Where the scenes of each official split are, and what they are to us."""


def main() -> int:
    from nuscenes.utils.splits import create_splits_scenes

    lists = create_splits_scenes()
    wrong = 0
    for name, (version, split) in VERSIONS.items():
        ours = {
            scene
            for scene in (f"scene-{number:04d}" for number in range(2000))
            if official_split(version, scene) == split
        }
        differing = sorted(ours ^ set(lists[name]))
        wrong += len(differing)
        print(f"{name:<11} {len(lists[name]):>4} scenes, {len(differing)} differ {' '.join(differing[:5])}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
