"""A vision transformer for high-resolution images: windows, region tokens, global blocks."""
