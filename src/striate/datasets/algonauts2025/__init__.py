"""The Algonauts 2025 challenge: predict what whole films do to 1000 parcels of the brain."""

from striate.datasets.algonauts2025.dataset import Algonauts2025

__all__ = ["Algonauts2025"]
