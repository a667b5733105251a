"""Small sets of images on disk, and runs on them."""

import numpy as np
from PIL import Image

from theodolite import families

SMALL = {"patch": 4, "window": 4, "width": 16, "heads": 2, "chunk": 3, "device": "cpu"}


def written(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def folders(root, count=12, channels=3):
    """Dark images and bright ones, no two of one size."""
    rng = np.random.default_rng(0)
    for number in range(count):
        name, low = (("dark", 20), ("bright", 150))[number % 2]
        shape = (20 + number, 41 - number, channels)
        pixels = rng.integers(low, low + 60, shape, dtype=np.uint8)
        written(root / name / f"{number}.png", pixels if channels == 3 else pixels[..., 0])
    return root


def pairs(root, values=(0, 1, 2), count=8):
    """Images whose thirds differ in brightness, with masks of these values and a row of pixels nobody knows."""
    rng = np.random.default_rng(0)
    for number in range(count):
        height, width = 21 + number, 40 - number
        classes = np.minimum(np.arange(width) * len(values) // width, len(values) - 1)[None].repeat(height, axis=0)
        pixels = 70 * classes[..., None] + rng.integers(0, 60, (height, width, 3))
        written(root / "images" / f"{number}.png", pixels.astype(np.uint8))
        mask = np.asarray(values, dtype=np.uint8)[classes]
        if len(values) > 1 and max(values) < 255:
            mask[0] = 255
        written(root / "masks" / f"{number}.png", mask)
    return root


def trained(out, data, steps=2, **fields):
    return families.train(
        "nested-vit", out, **{**SMALL, "data": str(data), "steps": steps, "batch_size": 3, "held_out": 4, **fields}
    )
