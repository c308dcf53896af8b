"""Steps against scikit-learn, with statistics of the training rows and nothing else."""

import numpy as np
import pytest
from sklearn.decomposition import PCA as Reference
from sklearn.preprocessing import StandardScaler

from striate.data import ArraySpace, Features
from striate.encoders.steps import PCA, Power, Projection, Window, ZScore
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


def test_zscore_is_the_standard_scaler_of_the_training_rows():
    x = 100 + 5 * correlated()
    view = features(x=x)
    found = ZScore().fit(seen(view)).transform(view)["x"]
    expected = StandardScaler().fit(x[:TRAIN]).transform(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    moved = x.copy()
    moved[TRAIN:] = 1e6
    again = ZScore().fit(seen(features(x=moved))).transform(view)["x"]
    np.testing.assert_array_equal(found, again)


def test_zscore_refitted_is_a_scaler_of_whatever_is_transformed():
    x = 100 + 5 * correlated()
    x[TRAIN:, 3] = 7.0  # varies in training only
    view = features(x=x)
    fitted = ZScore(refit=True).fit(seen(view))
    train, test = (fitted.transform(view.rows(ids))["x"] for ids in (IDS[:TRAIN], IDS[TRAIN:]))
    np.testing.assert_allclose(train, StandardScaler().fit_transform(x[:TRAIN]), rtol=1e-9)
    np.testing.assert_allclose(test, StandardScaler().fit_transform(x[TRAIN:]), atol=1e-9)
    usual = ZScore().fit(seen(view)).transform(view.rows(IDS[:TRAIN]))["x"]
    np.testing.assert_allclose(train, usual, rtol=1e-9)


def test_nearly_constant_columns_are_dropped_and_counted():
    x = correlated(6)
    x[:, 1] = 3.0
    x[:, 2] = 0.0
    x[5, 2] = 40.0  # fires for one training stimulus of sixty
    x[:, 3] = 1.0
    x[TRAIN:, 3] = 2.0  # varies, but not in training
    x[:, 4] = np.where(np.arange(ROWS) == 7, -9.0, 0.5)
    view = features(x=x, y=correlated(2))
    fitted = ZScore(active=0.02).fit(seen(view))
    out = fitted.transform(view)
    assert fitted.note_ == {"columns": 8, "columns dropped": 4}
    assert out["x"].shape == (ROWS, 2)
    expected = StandardScaler().fit(x[:TRAIN, [0, 5]]).transform(x[:, [0, 5]])
    np.testing.assert_allclose(out["x"], expected, rtol=1e-9)
    kept = ZScore(active=0.0).fit(seen(view)).note_["columns dropped"]
    assert kept == 2
    with pytest.raises(RecipeError, match="all 3 columns are nearly constant"):
        ZScore().fit(seen(features(x=np.ones((ROWS, 3)))))


def test_an_empty_space_is_left_out():
    view = features(x=np.ones((ROWS, 3)), y=correlated(2))
    assert ZScore().fit(seen(view)).transform(view).names == ("y",)


def test_zscore_of_maps_keeps_their_shape():
    x = correlated(12).astype(np.float32)
    x[:, 4] = 7
    maps, flat = features(x=x.reshape(ROWS, 3, 2, 2)), features(x=x)
    found = ZScore().fit(seen(maps)).transform(maps)["x"]
    assert found.shape == (ROWS, 3, 2, 2)
    assert found.dtype == np.float32
    rest = np.delete(np.arange(12), 4)
    expected = ZScore().fit(seen(flat)).transform(flat)["x"]
    np.testing.assert_array_equal(found.reshape(ROWS, 12)[:, rest], expected)
    assert (found[:, 1, 0, 0] == 0).all()


def test_zscore_of_large_means_in_single_precision():
    x = (1e4 + correlated(3)).astype(np.float32)
    view = features(x=x)
    found = ZScore().fit(seen(view)).transform(view)["x"][:TRAIN].astype(np.float64)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=2e-3)
    np.testing.assert_allclose(found.std(axis=0), 1, rtol=2e-3)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("components", [4.0, 0.8, 500.0])
def test_pca_is_scikit_learns(components, whiten):
    x = correlated()
    view = features(x=x)
    fitted = PCA(components, whiten=whiten).fit(seen(view))
    found = fitted.transform(view)["x"]
    count = components if components < 1 else int(min(components, 12))
    reference = Reference(count, whiten=whiten, svd_solver="full").fit(x[:TRAIN])
    expected = reference.transform(x)
    assert found.shape == expected.shape
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, rtol=1e-6, atol=1e-8)
    kept = reference.explained_variance_ratio_.sum()
    assert fitted.note_["variance kept of x"] == pytest.approx(kept)


def test_pca_joins_spaces_or_not():
    a, b = correlated(6), correlated(7)
    view = features(a=a, b=b)
    apart = PCA(3.0).fit(seen(view)).transform(view)
    assert {n: apart[n].shape for n in apart.names} == {"a": (ROWS, 3), "b": (ROWS, 3)}
    joint = PCA(3.0, joint=True).fit(seen(view)).transform(view)
    assert joint.names == ("pca",)
    one = features(pca=np.concatenate([a, b], axis=1))
    np.testing.assert_allclose(joint["pca"], PCA(3.0).fit(seen(one)).transform(one)["pca"])


@pytest.mark.parametrize("components", [200.0, 59.0])
def test_whitening_does_not_blow_up_directions_without_variance(components):
    wide = RNG.standard_normal((ROWS, 100))
    low = wide[:, :5] @ RNG.standard_normal((5, 20))
    view = features(wide=wide, low=low)
    out = PCA(components, whiten=True).fit(seen(view)).transform(view)
    assert out["wide"].shape == (ROWS, 59)
    for name in out.names:
        assert np.abs(out[name][TRAIN:]).max() < 30
    spread = out["low"][:TRAIN].std(axis=0, ddof=1)
    np.testing.assert_allclose(spread[:5], 1, rtol=1e-6)
    np.testing.assert_allclose(spread[5:], 0, atol=1e-6)


def test_pca_of_training_rows_only():
    x = correlated()
    moved = x.copy()
    moved[TRAIN:] *= 50
    first, second = (PCA(3.0).fit(seen(features(x=v))).transform(features(x=x)) for v in (x, moved))
    np.testing.assert_array_equal(first["x"], second["x"])


def test_projection_keeps_distances_and_follows_its_seed():
    x = RNG.standard_normal((ROWS, 4000)).astype(np.float32)
    view = features(x=x, small=correlated(5))
    fitted = Projection(400, seed=1).fit(seen(view))
    out = fitted.transform(view)
    assert out["x"].shape == (ROWS, 400)
    assert out["x"].dtype == np.float32
    np.testing.assert_array_equal(out["small"], view["small"])
    before = np.linalg.norm(x[1:] - x[:-1], axis=1)
    after = np.linalg.norm(out["x"][1:] - out["x"][:-1], axis=1)
    np.testing.assert_allclose(after / before, 1, atol=0.25)
    again = Projection(400, seed=1).fit(view.rows(IDS[:3])).transform(view)
    np.testing.assert_array_equal(out["x"], again["x"])
    other = Projection(400, seed=2).fit(seen(view)).transform(view)
    assert not np.array_equal(out["x"], other["x"])


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


def test_steps_leave_their_input_alone():
    view = features(x=RNG.standard_normal((ROWS, 2, 3, 3)))
    before = view["x"].copy()
    for step in (ZScore(), PCA(3.0), Projection(5), Power(), Window()):
        step.fit(seen(view)).transform(view)
        np.testing.assert_array_equal(view["x"], before)
