"""What is known about scenes: readers of label files, and their labels placed in the pixels of a scene."""
