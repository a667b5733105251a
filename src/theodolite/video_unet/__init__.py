"""A U-Net auto-encoder for videos of any size, every map planned."""
