"""An image that is read by rectangles, from an array, and what was asked of it."""

import numpy as np


class InMemory:
    def __init__(self, pixels):
        self.pixels = pixels
        self.height, self.width, self.channels = pixels.shape
        self.asked = []

    def window(self, top, left, height, width):
        assert 0 <= top < top + height <= self.height
        assert 0 <= left < left + width <= self.width
        self.asked.append((top, left, height, width))
        return np.ascontiguousarray(self.pixels[top : top + height, left : left + width])
