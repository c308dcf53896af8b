"""Components and projections against scikit-learn, in memory and in pieces."""

import numpy as np
import pytest
from sklearn.decomposition import PCA as Reference
from tests.encoders.pieces import Watched, peak_of

from striate.data import ArraySpace, Features
from striate.encoders.reduce import PCA, Projection
from striate.encoders.scale import ZScore
from striate.errors import RecipeError, StriateError
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


@pytest.mark.parametrize("columns", [30, 300])
def test_pca_of_large_means_costs_no_digits(columns):
    x = (1e4 + correlated(columns)).astype(np.float32)
    view = features(x=x)
    found = PCA(4.0).fit(seen(view)).transform(view)["x"]
    reference = Reference(4, svd_solver="full").fit(x[:TRAIN].astype(np.float64))
    expected = reference.transform(x.astype(np.float64))
    signs = np.sign((found * expected).sum(axis=0))
    assert found.dtype == np.float32
    assert np.abs(found * signs - expected).max() < 1e-4 * expected.std(axis=0).max()


@pytest.mark.parametrize("solver", ["exact", "randomized"])
def test_solvers_find_the_same_components(solver):
    view = features(x=correlated(50))
    auto = PCA(5.0).fit(seen(view)).transform(view)["x"]
    found = PCA(5.0, solver=solver).fit(seen(view)).transform(view)["x"]
    np.testing.assert_allclose(found, auto, atol=2e-3 if solver == "randomized" else 1e-12)


def test_zscore_pca_zscore_in_pieces_is_that_in_memory():
    x = correlated(900).astype(np.float32)
    view = features(x=x, y=x[:, ::-1] ** 2)

    def through():
        seen_so_far, out = seen(view), view
        for step in (ZScore(), PCA(4.0, joint=True), ZScore()):
            fitted = step.fit(seen_so_far)
            seen_so_far, out = fitted.transform(seen_so_far), fitted.transform(out)
        return out["pca"]

    expected = through()
    with using(Machine(memory=410_000, threads=1, quiet=True)):  # of 864,000 bytes and more
        np.testing.assert_allclose(through(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "width", "memory"),
    [(10_000, 60, 240_000), (300, 12_000, 10 << 20)],
    ids=["more rows", "more columns"],
)
def test_memory_stays_within_what_was_allowed(rows, width, memory):
    space = Watched(rows, width)  # 2.4 MB and 14 MB
    view = Features({"x": space}, space.ids)
    with using(Machine(memory=memory, threads=1, quiet=True)):
        standard = ZScore().fit(view).transform(view)
        PCA(3.0).fit(standard.rows(space.ids[: rows // 10]))  # what is loaded at first use
        fitted, peak = peak_of(lambda: PCA(3.0).fit(standard))
    kept = sum(a.nbytes for a in fitted.spaces_["x"].values() if isinstance(a, np.ndarray))
    assert peak < memory + kept + 200_000  # lists of ids, and objects
    expected = PCA(3.0).fit(ZScore().fit(view).transform(view))
    bases = [f.spaces_["x"]["basis"] for f in (fitted, expected)]
    np.testing.assert_allclose(*bases, atol=1e-5)
    assert fitted.note_["variance kept of x"] == pytest.approx(
        expected.note_["variance kept of x"], rel=1e-6
    )


def test_too_little_memory_is_refused_with_the_estimate():
    space = Watched(400, 8000)
    view = Features({"x": space}, space.ids)
    with (
        using(Machine(memory=1 << 20, threads=1, quiet=True)),
        pytest.raises(StriateError, match="pca of 8,000 features on 400 rows needs at least 6 MiB"),
    ):
        PCA(3.0).fit(view)


def test_projection_in_pieces_is_that_in_memory():
    view = features(x=RNG.standard_normal((ROWS, 2000)).astype(np.float32), few=correlated(5))
    whole = Projection(50).fit(seen(view)).transform(view)
    with using(Machine(memory=200_000, threads=1, quiet=True)):
        out = Projection(50).fit(seen(view)).transform(view)
    for name in ("x", "few"):
        assert isinstance(out.spaces[name], ArraySpace)
        np.testing.assert_allclose(out[name], whole[name], rtol=1e-5, atol=1e-6)


def test_what_pca_cannot_do_is_named():
    with pytest.raises(RecipeError, match=r"components 0\.0"):
        PCA(0.0)
    with pytest.raises(RecipeError, match=r"randomized solver cannot find 0\.5 of the variance"):
        PCA(0.5, solver="randomized")
