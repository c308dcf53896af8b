"""Z-scores against scikit-learn, in memory and in pieces, from the training rows alone."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from tests.encoders.pieces import Watched, peak_of

from striate.data import ArraySpace, Computed, Features
from striate.encoders.scale import ZScore
from striate.errors import RecipeError
from striate.machine import Machine, using

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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_means_cost_no_digits(dtype):
    x = (1e4 + correlated(30)).astype(dtype)
    view = features(x=x)
    found = ZScore().fit(seen(view)).transform(view)["x"]
    expected = StandardScaler().fit(x[:TRAIN].astype(np.float64)).transform(x.astype(np.float64))
    assert found.dtype == dtype
    assert np.abs(found - expected).max() < 1e-4
    again = ZScore(refit=True).fit(seen(view)).transform(seen(view))["x"]
    assert np.abs(again - expected[:TRAIN]).max() < 1e-4


@pytest.mark.parametrize("shape", [(900,), (9, 10, 10)])
@pytest.mark.parametrize("refit", [False, True])
def test_spaces_larger_than_memory_are_standardised_when_they_are_read(shape, refit):
    x = correlated(900).astype(np.float32)
    x[:, 3], x[:, 5] = 2.0, np.arange(ROWS) == 1
    view = features(x=x.reshape(ROWS, *shape))
    step = ZScore(active=0.02, refit=refit)
    whole = step.fit(seen(view))
    expected = whole.transform(view)["x"]
    with using(Machine(memory=40_000, threads=1, quiet=True)):  # of 288,000 bytes
        fitted = step.fit(seen(view))
        out = fitted.transform(view)
    assert isinstance(out.spaces["x"], Computed)
    assert fitted.note_ == whole.note_ == {"columns": 900, "columns dropped": 2}
    np.testing.assert_allclose(out["x"], expected, rtol=1e-5, atol=1e-6)
    some = [IDS[70], IDS[3], IDS[71]]
    np.testing.assert_allclose(out.rows(some)["x"], expected[[70, 3, 71]], rtol=1e-5, atol=1e-6)


def test_memory_stays_within_what_was_allowed():
    memory = 4 << 20
    space = Watched(rows=500, width=20_000)  # 40 MB, ten times as much
    view = Features({"x": space}, space.ids)
    with using(Machine(memory=memory, threads=1, quiet=True)):
        out, peak = peak_of(lambda: ZScore().fit(view).transform(view))
    assert isinstance(out.spaces["x"], Computed)
    assert peak < memory
    assert space.most < memory // 4
    some = space.ids[7:9]
    every = space.read(space.ids)
    expected = StandardScaler().fit(every).transform(space.read(some))
    np.testing.assert_allclose(out.rows(some)["x"], expected, rtol=1e-4, atol=1e-5)
