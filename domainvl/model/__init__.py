"""Models: chat formats, images to tiles, building, loading, adapting and generating."""
