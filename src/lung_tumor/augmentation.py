"""Changed views of a prepared slice, as another scan of the same chest could have given.

A view depends on the slice, its number, the options and the seed alone, and not on how many views there are. So the
activations of a view are computed once and remembered like those of any slice: augmentation costs a pass for each view,
not one for each epoch, and more views leave those that are remembered useful.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lung_tumor.imaging import Pixels
from lung_tumor.options import require_types

_LIMITS = {"rotation_degrees": 45.0, "zoom": 0.5, "shift": 0.25, "contrast": 0.9, "brightness": 0.5, "noise": 64.0}
"""Beyond these a slice is no longer a chest as any scanner gives it."""


@dataclass(frozen=True)
class AugmentationOptions:
    """``params:features.augmentation``. Every range is symmetric and drawn from uniformly; 0 leaves that change out.

    Attributes:
        views: changed views of each training slice beside the slice itself; 0 is no augmentation.
        flip: mirror every second view, on average, left to right.
        rotation_degrees: largest turn either way, degrees, in [0, 45].
        zoom: largest change of size, as a share: 0.1 draws factors from 0.9 to 1.1; in [0, 0.5].
        shift: largest move along either axis, as a share of the side, in [0, 0.25].
        contrast: largest change of contrast, as a share: 0.1 multiplies grey values by 0.9 to 1.1; in [0, 0.9].
        brightness: largest grey value added or taken away, as a share of 255, in [0, 0.5].
        noise: standard deviation of Gaussian noise, grey values of 255, in [0, 64].
    """

    views: int = 0
    flip: bool = True
    rotation_degrees: float = 8.0
    zoom: float = 0.08
    shift: float = 0.03
    contrast: float = 0.08
    brightness: float = 0.04
    noise: float = 2.0

    def __post_init__(self) -> None:
        require_types(self, "augmentation")
        if self.views < 0:
            raise ValueError(f"augmentation.views must be 0 or more, received {self.views}")
        for name, most in _LIMITS.items():
            if not 0.0 <= getattr(self, name) <= most:
                raise ValueError(f"augmentation.{name} must lie in [0, {most:g}], received {getattr(self, name)}")


def view(pixels: Pixels, number: int, options: AugmentationOptions, seed: int) -> Pixels:
    """One view of a prepared slice: moved, then with other greys, then with noise.

    What is drawn is the same on every machine; resampling may round a grey value differently in another build of OpenCV.

    Args:
        pixels: prepared slice, (height, width) uint8, 0 to 255.
        number: 0 is the slice itself, any other number one of its changed views.
        options: how far a view may go; ``views`` has no part in it.
        seed: another seed gives other views.

    Returns:
        (height, width) uint8, 0 to 255; ``pixels`` itself for number 0.

    Raises:
        ValueError: ``number`` is negative.
    """
    if number < 0:
        raise ValueError(f"number must be 0 (the slice itself) or more, received {number}")
    if number == 0:
        return pixels
    rng = _stream(pixels, number, seed)
    # Everything is drawn whatever its range: to change one range leaves what the others give as it was.
    mirrored = bool(rng.random() < 0.5) and options.flip
    turn, size, right, down, contrast, brightness = rng.uniform(-1.0, 1.0, 6)
    motion = _motion(
        pixels.shape,
        mirrored=mirrored,
        degrees=turn * options.rotation_degrees,
        factor=1.0 + size * options.zoom,
        shift=(right * options.shift, down * options.shift),
    )
    # Cubic, since bilinear resampling blurs vessels and spicules. Black, since that is what preparation itself puts beside
    # a body: repeating the edge would draw streaks of chest wall.
    moved = cv2.warpAffine(
        pixels, motion, pixels.shape[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    values = rng.standard_normal(pixels.shape, dtype=np.float32)
    values *= np.float32(options.noise)
    values += np.float32(1.0 + contrast * options.contrast) * moved
    values += np.float32(255.0 * brightness * options.brightness)
    np.rint(np.clip(values, 0.0, 255.0, out=values), out=values)
    # Black is where there is no picture: it stays black, as in every prepared slice.
    return np.asarray(values.astype(np.uint8) * (moved > 0))


def _stream(pixels: Pixels, number: int, seed: int) -> np.random.Generator:
    digest = hashlib.blake2b(f"{pixels.shape} {number} {seed} ".encode(), digest_size=16)
    digest.update(pixels.tobytes())
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest.digest(), "little")))


def _motion(
    shape: tuple[int, ...], *, mirrored: bool, degrees: float, factor: float, shift: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Mirror, zoom and turn about the middle, then shift: the matrix, (2, 3), from a slice's places to its view's."""
    height, width = shape
    middle = np.array([(width - 1) / 2.0, (height - 1) / 2.0])
    cosine, sine = factor * np.cos(np.radians(degrees)), factor * np.sin(np.radians(degrees))
    linear = np.array([[cosine, sine], [-sine, cosine]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    return np.column_stack([linear, middle - linear @ middle + np.array(shift) * (width, height)])
