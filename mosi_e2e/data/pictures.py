"""albumentations for the face crops of one clip: one draw of parameters, applied to all of them.

The library's own way to transform a batch moves all frames behind one another as channels, which costs
more than the transform itself. Two subclasses do without: 21 crops of 224 px take 0.1 ms instead of 5 to be
mirrored and 6 instead of 21 to be warped on one core (`benchmarks/loader.py`). The module is imported where
augmentation is used, because albumentations takes a second to import.
"""

from typing import Any

import albumentations
import cv2
import numpy as np

from mosi_e2e.config import AugmentConfig

SMALLER = (0.2, 0.8)  # share of a crop's side that is left
QUALITIES = (20, 80)  # of JPEG


class ClipFlip(albumentations.HorizontalFlip):
    """Mirrors all frames as one tall picture, which they are in memory."""

    def apply_to_images(self, images: np.ndarray, **params: Any) -> np.ndarray:
        """Mirror frames [T, H, W, 3]."""
        tall = images.reshape(-1, *images.shape[2:])  # [T * H, W, 3]
        return self.apply(tall, **params).reshape(images.shape)


class ClipAffine(albumentations.Affine):
    """Works out where each pixel comes from once, and warps every frame by that."""

    def apply_to_images(self, images: np.ndarray, matrix: np.ndarray, **params: Any) -> np.ndarray:
        """Warp frames [T, H, W, 3] by the drawn matrix [3, 3], which leads from source to target."""
        sources = locate_sources(matrix, *images.shape[1:3])
        warped = np.empty(images.shape, images.dtype)
        for image, target in zip(images, warped, strict=True):
            cv2.remap(image, *sources, self.interpolation, dst=target, borderMode=self.border_mode)
        return warped


def locate_sources(matrix: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """For each target pixel the place in the source that it is taken from, in OpenCV's fixed-point form."""
    y, x = np.ogrid[:height, :width]
    places = [(a * x + b * y + c).astype(np.float32) for a, b, c in np.linalg.inv(matrix)[:2]]
    return cv2.convertMaps(*places, cv2.CV_16SC2)


def degrade(config: AugmentConfig) -> list[albumentations.BasicTransform]:
    """What cameras and uploads do to a face, where it is asked for: few pixels, then compression.

    Left out where its probability is 0: whatever is in a pipeline takes draws from its generator.
    """
    few = albumentations.Downscale(
        scale_range=SMALLER,
        interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_CUBIC},
        p=config.shrink,
    )
    jpeg = albumentations.ImageCompression(quality_range=QUALITIES, p=config.jpeg)
    return [*([few] if config.shrink else []), *([jpeg] if config.jpeg else [])]


def build_picture_transform(config: AugmentConfig) -> albumentations.Compose:
    """The albumentations pipeline for face crops; call it with `images=` [T, H, W, 3]."""
    shift, colour = config.affine, config.colour
    return albumentations.Compose(
        [
            ClipFlip(p=config.flip),
            ClipAffine(
                translate_percent=(-shift, shift),
                scale=(1 - shift, 1 + shift),
                rotate=(-90 * shift, 90 * shift),
                border_mode=cv2.BORDER_REPLICATE,
                p=0.8 if shift else 0.0,
            ),
            albumentations.ColorJitter(
                brightness=(1 - colour, 1 + colour),
                contrast=(1 - colour, 1 + colour),
                saturation=(1 - colour, 1 + colour),
                hue=(0, 0),
                p=0.8 if colour else 0.0,
            ),
            albumentations.GaussianBlur(blur_limit=(3, 5), p=config.blur),
            *degrade(config),
        ]
    )
