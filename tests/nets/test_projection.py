"""The projection on the device is the step's projection."""

import numpy as np
import pytest
import torch

from striate.data import ArraySpace, Features
from striate.encoders.reduce import Projection as Step
from striate.errors import RecipeError
from striate.nets.projection import Projection


def test_it_is_the_same_projection_as_the_step():
    x = np.random.default_rng(0).standard_normal((5, 4, 30)).astype(np.float32)
    ids = tuple("abcde")
    features = Features({"x": ArraySpace(ids, x)}, ids)
    step = Step(components=20, seed=3)
    wanted = step.fit(features).transform(features)["x"]
    found = Projection(20, 3)(torch.from_numpy(x))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_distances_are_kept():
    x = torch.randn(20, 6000, generator=torch.Generator().manual_seed(0))
    y = Projection(2000, 0)(x)
    ratio = torch.pdist(y) / torch.pdist(x)
    assert ratio.min() > 0.9 and ratio.max() < 1.1


def test_narrow_features_stay():
    x = torch.randn(3, 2, 5)
    assert Projection(10)(x) is x
    assert Projection(0)(x) is x
    with pytest.raises(RecipeError, match="projection -1"):
        Projection(-1)
