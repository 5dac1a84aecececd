"""What the converters of medical images share: grey levels, geometry, display, labelled findings and questions.

Nothing here knows of a file format. Coordinates "in stored pixels" are those of an image as its file holds it: x to the
right along rows, y down, whole numbers on pixel edges. :class:`~.pixel_map.PixelMap` takes them to the image that is
written.
"""
