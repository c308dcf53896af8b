"""The Algonauts 2021 challenge: predict what the brain answers to short clips of daily life."""

from striate.datasets.algonauts2021.dataset import Algonauts2021

__all__ = ["Algonauts2021"]
