"""Photographs, and copies of them made in the ways that data sets come by duplicates."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images


def originals() -> list[np.ndarray]:
    """Thirty different pictures, 140 pixels high: pieces of two photographs, and textures.

    The uppermost pieces of the photographs are left out: clear sky, in which there is nothing to see.
    """
    pieces = [
        photo[y : y + 140, x : x + width]
        for photo, width in zip(load_sample_images().images, (150, 200), strict=True)
        for y in (142, 284)
        for x in range(0, 640 - width, 210)
    ]
    random = np.random.default_rng(0)
    textures = []
    for index in range(30 - len(pieces)):
        noise = gaussian_filter(random.standard_normal((140, 160, 3)), (4 + index % 4, 6, 0.5))
        noise = (noise - noise.mean()) / noise.std()
        textures.append(np.clip(128 + 45 * noise, 0, 255).astype(np.uint8))
    return [np.ascontiguousarray(picture) for picture in pieces + textures]


def encoded(picture: np.ndarray, format: str, quality: int) -> np.ndarray:
    """The picture once it has been through a file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format, quality=quality)
    return np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert('RGB'))


def resized(picture: np.ndarray, factor: float) -> np.ndarray:
    """The picture with both sides multiplied."""
    height, width = (round(side * factor) for side in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def toned(picture: np.ndarray, contrast: float, brightness: float) -> np.ndarray:
    """The picture a little flatter or starker, lighter or darker."""
    return np.clip((picture.astype(float) - 128) * contrast + 128 + brightness, 0, 255).astype(np.uint8)


COPIES = {
    'half the size': lambda picture: resized(picture, 0.5),
    'twice the size': lambda picture: resized(picture, 2),
    'JPEG 50': lambda picture: encoded(picture, 'JPEG', 50),
    'JPEG 90': lambda picture: encoded(picture, 'JPEG', 90),
    'WebP 50': lambda picture: encoded(picture, 'WEBP', 50),
    'lighter': lambda picture: toned(picture, 1, 12),
    'flatter': lambda picture: toned(picture, 0.85, 0),
    'starker': lambda picture: toned(picture, 1.1, -5),
    'mirrored': lambda picture: picture[:, ::-1],
    'upside down': lambda picture: picture[::-1],
    'turned by 90°': lambda picture: np.rot90(picture),
    'turned by 180°': lambda picture: np.rot90(picture, 2),
    'transposed': lambda picture: picture.swapaxes(0, 1),
    'mirrored, smaller, JPEG 70': lambda picture: encoded(resized(picture[:, ::-1], 0.7), 'JPEG', 70),
}
