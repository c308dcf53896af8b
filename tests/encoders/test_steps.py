"""Steps that learn nothing: powers, windows and polynomials, each against its formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import PolynomialFeatures

from striate.data import ArraySpace, Features
from striate.encoders.reduce import PCA, Projection
from striate.encoders.scale import ZScore
from striate.encoders.steps import Polynomial, Power, Window
from striate.errors import RecipeError

RNG = np.random.default_rng(0)
ROWS, TRAIN = 80, 60
IDS = tuple(f"im{k}" for k in range(ROWS))


def features(**arrays):
    return Features({n: ArraySpace(IDS, np.asarray(a)) for n, a in arrays.items()}, IDS)


def seen(view):
    return view.rows(IDS[:TRAIN])


def correlated(columns=12):
    return RNG.standard_normal((ROWS, 5)) @ RNG.standard_normal((5, columns)) + RNG.standard_normal(
        (ROWS, columns)
    )


@pytest.mark.parametrize("exponent", [0.5, 0.3, 2.0])
def test_power_keeps_signs_and_shapes(exponent):
    x = correlated(8).reshape(ROWS, 2, 2, 2)
    view = features(x=x)
    found = Power(exponent).fit(seen(view)).transform(view)["x"]
    np.testing.assert_allclose(found, np.sign(x) * np.abs(x) ** exponent, rtol=1e-12)


def test_window_weighs_cells_around_its_centre():
    x = np.ones((ROWS, 2, 4, 6), dtype=np.float32)
    view = features(x=x)
    step = Window(x=0.5, y=-0.25, width=0.3, least=0.0)
    found = step.fit(seen(view)).transform(view)["x"].reshape(ROWS, 2, 4, 6)
    for r in range(4):
        for c in range(6):
            down, across = (r + 0.5) / 4 * 2 - 1, (c + 0.5) / 6 * 2 - 1
            far = (down + 0.25) ** 2 + (across - 0.5) ** 2
            np.testing.assert_allclose(found[:, :, r, c], np.exp(-far / (2 * 0.09)), rtol=1e-6)
    row, column = np.unravel_index(found[0, 0].argmax(), (4, 6))
    assert (row, column) == (1, 4)
    few = Window(width=0.3, least=0.5).fit(seen(view)).transform(view)["x"]
    assert few.shape[1] == 2 * (step_weights(4, 6) >= 0.5).sum()
    with pytest.raises(RecipeError, match="window needs maps, but 'x' has shape"):
        Window().transform(features(x=correlated()))


def step_weights(height, width):
    return Window(width=0.3).weights(height, width)


@settings(max_examples=20, deadline=None)
@given(
    width=st.integers(1, 6),
    degree=st.integers(1, 4),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_polynomial_is_scikit_learns(width, degree, dtype):
    x = correlated(width).astype(dtype)
    view = features(x=x)
    fitted = Polynomial(degree).fit(seen(view))
    found = fitted.transform(view)["x"]
    expected = PolynomialFeatures(degree, include_bias=False).fit_transform(x)
    assert found.dtype == dtype
    assert fitted.note_ == {"columns of x": expected.shape[1]}
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    powers = Polynomial(degree, interactions=False).fit(seen(view)).transform(view)["x"]
    expected = np.concatenate([x ** (k + 1) for k in range(degree)], axis=1)
    np.testing.assert_allclose(powers, expected, rtol=1e-4)


def test_polynomial_of_spaces_apart_or_together():
    a, b = correlated(3), correlated(4).reshape(ROWS, 2, 2)
    view = features(a=a, b=b)
    apart = Polynomial().fit(seen(view)).transform(view)
    assert {n: apart[n].shape for n in apart.names} == {"a": (ROWS, 9), "b": (ROWS, 14)}
    joint = Polynomial(joint=True).fit(seen(view)).transform(view)
    assert joint.names == ("polynomial",)
    both = np.concatenate([a, b.reshape(ROWS, 4)], axis=1)
    expected = PolynomialFeatures(2, include_bias=False).fit_transform(both)
    np.testing.assert_allclose(joint["polynomial"], expected)


def test_polynomial_refuses_more_columns_than_its_limit():
    view = features(x=correlated(40))
    with pytest.raises(RecipeError, match="the 40 columns of 'x' would become 12,340, more than 9"):
        Polynomial(3, limit=9_000).fit(view)
    assert Polynomial(3, limit=12_340).fit(view).note_ == {"columns of x": 12_340}
    with pytest.raises(RecipeError, match="degree 0 must be 1 or more"):
        Polynomial(0)


def test_steps_leave_their_input_alone():
    view = features(x=RNG.standard_normal((ROWS, 2, 3, 3)))
    before = view["x"].copy()
    for step in (ZScore(), PCA(3.0), Projection(5), Power(), Window(), Polynomial()):
        step.fit(seen(view)).transform(view)
        np.testing.assert_array_equal(view["x"], before)
