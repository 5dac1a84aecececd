"""What driving data has in common, whatever its files look like: rigs of cameras, boxes, motion, clips, questions.

Knows no file format and no tables; the converters of nuScenes, DriveLM and others read theirs and use this.
"""
