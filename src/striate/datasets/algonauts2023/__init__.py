"""The Algonauts 2023 challenge: natural scenes in the brain of eight people, both hemispheres."""

from striate.datasets.algonauts2023.dataset import (
    CLASSES,
    Algonauts2023,
    to_challenge,
    to_fsaverage,
)

__all__ = ["CLASSES", "Algonauts2023", "to_challenge", "to_fsaverage"]
