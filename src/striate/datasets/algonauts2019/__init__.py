"""The Algonauts 2019 challenge: predict how dissimilar two images are to the visual cortex."""

from striate.datasets.algonauts2019.dataset import Algonauts2019

__all__ = ["Algonauts2019"]
