"""Ensembles by correlation: rules by hand, gaps, regions, and what they tell of themselves."""

import numpy as np
import pytest

from striate.data import Features, label_responses
from striate.encoders.blend import Best, Mean, Median, Stack
from striate.encoders.ensemble import Ensemble, Softmax, Top
from striate.encoders.mixing import correlated
from striate.errors import DataError, RecipeError
from striate.solvers.ensemble import member_grams
from striate.solvers.ensemble_search import correlation_weights, target_weights

RNG = np.random.default_rng(0)
ROWS, TARGETS, TRAIN = 60, 6, 45
IDS = [f"im{k}" for k in range(ROWS)]
TRUTH = RNG.standard_normal((ROWS, TARGETS))
NOISE = np.array([0.6, 1.0, 1.5])[:, None, None]
VALUES = (TRUTH + NOISE * RNG.standard_normal((3, ROWS, TARGETS)) + 1.5).astype(np.float32)
NAMES = ["m0", "m1", "m2"]
ROIS = {"V1": [True] * 3 + [False] * 3, "V2": [False] * 2 + [True] * 4}
TOLD = "mean correlation on the rows of the weights"
ALL = [Ensemble(), Ensemble(each="target"), Softmax(), Softmax(each="group"), Top(k=2)]


def labelled(values, **more):
    return label_responses(np.asarray(values), IDS, subject="s1", **more)


def features(values=VALUES, names=NAMES):
    members = {n: {"s1": labelled(v)} for n, v in zip(names, values, strict=True)}
    return Features({}, tuple(IDS), members)


BLOCK = labelled(TRUTH, rois=ROIS)
GROUPS = [[BLOCK[:TRAIN, :3]], [BLOCK[:TRAIN, 2:]]]
TEST = BLOCK[TRAIN:]
FIT = VALUES[:, :TRAIN]


def weights_of(fitted):
    return [p["weights"] for p in fitted.parts_]


def test_a_group_shares_the_weights_of_the_search():
    fitted = Ensemble().fit(features(), GROUPS)
    for part, at in zip(fitted.parts_, (slice(0, 3), slice(2, 6)), strict=True):
        grams = member_grams(FIT[:, :, at], BLOCK.values[:TRAIN, at])
        expected = correlation_weights(grams).weights
        assert np.ptp(part["weights"], axis=1).max() == 0
        np.testing.assert_allclose(part["weights"][:, 0], expected, atol=1e-6)
        np.testing.assert_allclose(part["weights"].sum(axis=0), 1)
    one = Ensemble().fit(features(), [GROUPS[0]])
    found = one.predict(features(), TEST).values
    mixed = np.einsum("m,mrt->rt", one.parts_[0]["weights"][:, 0], VALUES[:, TRAIN:, :3])
    np.testing.assert_allclose(found, mixed, rtol=1e-5, atol=1e-5)


def test_targets_may_have_their_own():
    fitted = Ensemble(each="target").fit(features(), [[BLOCK[:TRAIN]]])
    expected = target_weights(member_grams(FIT, BLOCK.values[:TRAIN]))
    np.testing.assert_allclose(weights_of(fitted)[0], expected, atol=1e-6)
    searched = Ensemble(each="target", method="evolution", tol=1e-6).fit(
        features(), [[BLOCK[:TRAIN, :2]]]
    )
    np.testing.assert_allclose(weights_of(searched)[0], expected[:, :2], atol=5e-3)


def test_bounds_allow_negative_weights():
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((ROWS, TARGETS))
    values = np.stack([TRUTH + noise, noise, rng.standard_normal((ROWS, TARGETS))])
    view, group = features(values), [[BLOCK[:TRAIN]]]
    plain = Ensemble().fit(view, group)
    free = Ensemble(bounds=(-1.0, 1.0)).fit(view, group)
    assert weights_of(plain)[0].min() >= 0 and free.note_[TOLD] > plain.note_[TOLD] + 0.05
    weights = weights_of(free)[0][:, 0]
    np.testing.assert_allclose(weights[1] / weights[0], -1, atol=0.05)
    r = correlated(free.predict(view, TEST).values[None], TRUTH[TRAIN:])
    assert r.min() > 0.95


@pytest.mark.parametrize("scale", ["raw", "zscore"])
@pytest.mark.parametrize("each", ["group", "target"])
def test_mixes_with_negative_weights_come_in_the_units_of_the_responses(each, scale):
    rng = np.random.default_rng(5)
    noise = 30 * rng.standard_normal((ROWS, TARGETS))
    # the best mix is a difference, whose weights sum to next to nothing
    values = np.stack([TRUTH + noise, noise + 7]) + 0.3 * rng.standard_normal((2, ROWS, TARGETS))
    view, group = features(values, NAMES[:2]), [[BLOCK[:TRAIN]]]
    fitted = Ensemble(bounds=(-1.0, 1.0), each=each, scale=scale).fit(view, group)
    found = fitted.predict(view, TEST).values
    error, power = ((a**2).sum() for a in (found - TRUTH[TRAIN:], TRUTH[TRAIN:]))
    assert error < 0.3 * power
    # what is recorded is what is applied, and no factor or shift does better where it was fitted
    (part,) = fitted.parts_
    seen = np.einsum("mt,mrt->rt", part["weights"], values[:, :TRAIN]) + part["intercept"]
    given = fitted.predict(view, BLOCK[:TRAIN]).values
    np.testing.assert_allclose(given, seen, rtol=1e-4, atol=1e-4)
    off = seen - TRUTH[:TRAIN]
    np.testing.assert_allclose(off.mean(axis=0), 0, atol=1e-6)
    slope = (off * (seen - seen.mean(axis=0))).sum(axis=0)
    np.testing.assert_allclose(slope if each == "target" else slope.sum(), 0, atol=1e-5)


def test_scales_of_negative_weights_around_gaps():
    values = VALUES.copy()
    values[0, :, 1] = np.nan
    view = features(values)
    fitted = Ensemble(bounds=(-1.0, 1.0)).fit(view, [[BLOCK[:TRAIN]]])
    assert fitted.parts_[0]["weights"][0, 1] == 0
    found = fitted.predict(view, TEST).values
    assert correlated(found[None], TRUTH[TRAIN:]).min() > 0.5
    # nothing predicts: the mix keeps its direction, and a size that was asked for
    away = Ensemble(bounds=(-0.1, 1.0)).fit(features(-VALUES[:1], NAMES[:1]), [[BLOCK[:TRAIN]]])
    np.testing.assert_allclose(away.parts_[0]["weights"], 1)


def test_scaled_members_count_alike_and_keep_the_mean():
    size = np.array([1.0, 30.0, 0.1])[:, None, None]
    view = features(VALUES * size)
    one = Ensemble(scale="zscore").fit(view, GROUPS[:1])
    two = Ensemble(scale="zscore").fit(features(), GROUPS[:1])
    a, b = (f.predict(v, TEST).values for f, v in ((one, view), (two, features())))
    np.testing.assert_allclose(correlated(a[None], b[:, :3]), 1, atol=1e-6)
    np.testing.assert_allclose(one.note_[TOLD], two.note_[TOLD], atol=1e-6)
    # in units of the members: means are mixed as the weights say
    grams = member_grams(FIT[:, :, :3], BLOCK.values[:TRAIN, :3])
    w = correlation_weights(grams.zscored()).weights
    train = two.predict(features(), BLOCK[:TRAIN]).values.mean(axis=0)
    np.testing.assert_allclose(train, w @ grams.means, rtol=1e-5)


def test_softmax_and_top_by_hand():
    r = correlated(FIT, BLOCK.values[:TRAIN])
    soft = weights_of(Softmax(temperature=0.2).fit(features(), [[BLOCK[:TRAIN]]]))[0]
    np.testing.assert_allclose(soft, np.exp(r / 0.2) / np.exp(r / 0.2).sum(axis=0), rtol=1e-9)
    shared = Softmax(temperature=0.2, each="group").fit(features(), GROUPS)
    mean = np.exp(r[:, 2:].mean(axis=1) / 0.2)
    np.testing.assert_allclose(weights_of(shared)[1][:, 0], mean / mean.sum(), rtol=1e-9)
    cold = Softmax(temperature=1e-4).fit(features(), GROUPS).predict(features(), TEST[:, :2])
    best = Best().fit(features(), GROUPS).predict(features(), TEST[:, :2])
    np.testing.assert_allclose(cold.values, best.values, rtol=1e-5, atol=1e-6)
    top = weights_of(Top(k=2).fit(features(), [[BLOCK[:TRAIN]]]))[0]
    for t in range(TARGETS):
        assert top[r[:, t].argmin(), t] == 0 and np.sort(top[:, t])[1:].tolist() == [0.5, 0.5]
    group = weights_of(Top(k=1, each="group").fit(features(), GROUPS))[0]
    assert group[:, 0].argmax() == r[:, :3].mean(axis=1).argmax()
    many = Top(k=9).fit(features(), GROUPS).predict(features(), TEST)
    mean = Mean().fit(features(), GROUPS).predict(features(), TEST)
    np.testing.assert_allclose(many.values, mean.values, rtol=1e-5, atol=1e-6)


def test_median_is_numpys():
    values = VALUES.copy()
    values[0, :, 1] = np.nan
    values[:2, TRAIN + 1, 2] = np.nan
    values[:, :, 3] = np.nan
    view = features(values)
    found = Median().fit(view, [[BLOCK[:TRAIN]]]).predict(view, TEST).values
    expected = np.nanmedian(values[:, TRAIN:, [0, 1, 2, 4, 5]], axis=0)
    np.testing.assert_allclose(found[:, [0, 1, 2, 4, 5]], expected, rtol=1e-6)
    assert np.isnan(found[:, 3]).all()


@pytest.mark.parametrize("encoder", ALL, ids=str)
def test_missing_members_leave_their_weight_to_the_others(encoder):
    values = VALUES.copy()
    values[0, :, 1] = np.nan
    view = features(values)
    fitted = encoder.fit(view, [[BLOCK[:TRAIN]]])
    (weights,) = weights_of(fitted)
    assert weights[0, 1] == 0 and (weights[1:, 1] > 0).any()
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert np.isfinite(fitted.predict(view, TEST).values).all()
    assert np.isfinite(fitted.note_[TOLD])
    values[1:, :, 1] = np.nan
    with pytest.raises(DataError, match="no member predicts target 't1'"):
        encoder.fit(features(values), [[BLOCK[:TRAIN]]])
    values = VALUES.copy()
    values[1, 3, 2] = np.nan
    with pytest.raises(DataError, match="predicted only some rows of target 't2'"):
        encoder.fit(features(values), [[BLOCK[:TRAIN]]])


def test_weight_on_missing_members_only_falls_back_to_the_mean_of_the_rest():
    values = VALUES.copy()
    values[0] = TRUTH
    values[0, :, 5] = np.nan
    weights = weights_of(Ensemble().fit(features(values), [[BLOCK[:TRAIN]]]))[0]
    assert weights[0, 0] > 0.99
    np.testing.assert_allclose(weights[:, 5].sum(), 1)
    values[:, :, 4] = np.where(np.arange(3)[:, None] == 0, np.nan, values[:, :, 4])
    for top in (Top(k=1, each="group"), Top(k=3, each="group")):
        own = weights_of(top.fit(features(values), [[BLOCK[:TRAIN]]]))[0]
        assert own[0].max() == 0  # it does not predict all of the group
    values[1:, :, 0] = np.nan
    with pytest.raises(DataError, match="no member predicts all targets of a group"):
        Top(each="group").fit(features(values), [[BLOCK[:TRAIN]]])


@pytest.mark.parametrize("encoder", [*ALL, Ensemble(method="evolution", maxiter=5)], ids=str)
def test_names_and_order_of_members_change_nothing(encoder):
    turned = Features({}, tuple(IDS), dict(reversed(features().members.items())))
    one = encoder.fit(features(), GROUPS).predict(features(), TEST)
    two = encoder.fit(turned, GROUPS).predict(turned, TEST)
    np.testing.assert_array_equal(one.values, two.values)


def test_targets_measured_on_other_rows_share_weights():
    block = BLOCK[:TRAIN].copy(deep=True)
    block.values[:15, 1] = np.nan
    fitted = Ensemble(scale="zscore").fit(features(), [[block]])
    assert len(fitted.parts_) == 2
    found = fitted.predict(features(), TEST)
    assert sorted(found.target.values) == sorted(BLOCK.target.values)
    plain = Ensemble().fit(features(), [[block]])
    np.testing.assert_array_equal(*(w[:, 0] for w in weights_of(plain)))


def test_one_member_and_twins():
    alone = Ensemble().fit(features(VALUES[:1], ["m0"]), GROUPS)
    np.testing.assert_allclose(weights_of(alone)[0], 1)
    twins = features(VALUES[[0, 0, 1]])
    for each in ("group", "target"):
        for bounds in ((0.0, 1.0), (-1.0, 1.0)):
            fitted = Ensemble(each=each, bounds=bounds).fit(twins, GROUPS)
            pair = Ensemble(each=each, bounds=bounds).fit(features(VALUES[:2], NAMES[:2]), GROUPS)
            np.testing.assert_allclose(fitted.note_[TOLD], pair.note_[TOLD], atol=1e-6)


def test_what_a_fit_tells():
    fitted = Ensemble().fit(features(), GROUPS)
    lines = fitted.note_["weights"]
    assert [(e["subject"], e["roi"], e["targets"]) for e in lines] == [
        ("s1", "V1", 3),
        ("s1", "V2", 4),
    ]
    first = dict(zip(NAMES, weights_of(fitted)[0][:, 0], strict=True))
    assert lines[0]["of"] == pytest.approx(first)
    stack = Stack().fit(features(), [[BLOCK[:TRAIN]]])
    entries = {e["roi"]: e for e in stack.note_["weights"]}
    assert entries["V1"]["targets"] == 3 and entries["V2"]["targets"] == 4
    expected = weights_of(stack)[0][:, 2:].mean(axis=1)
    np.testing.assert_allclose(list(entries["V2"]["of"].values()), expected)
    # the score on the rows of the weights is that of the predictions there
    for encoder in (*ALL, Stack(), Best(), Best(each="group")):
        one = encoder.fit(features(), GROUPS)
        seen = [encoder.fit(features(), [g]).predict(features(), g[0]) for g in GROUPS]
        r = [correlated(p.values[None], g[0].values) for p, g in zip(seen, GROUPS, strict=True)]
        np.testing.assert_allclose(one.note_[TOLD], np.concatenate(r, axis=1).mean(), atol=1e-5)


def test_noise_is_worth_less_where_the_weights_were_not_fitted():
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((12, ROWS, TARGETS))
    view = features(noise, [f"m{k:02d}" for k in range(12)])
    for encoder in (Ensemble(), Ensemble(each="target"), Top(k=2), Best(), Stack()):
        fitted = encoder.fit(view, [[BLOCK[:30]]])
        held = fitted.predict(view, BLOCK[30:]).values
        nested = correlated(held[None], TRUTH[30:]).mean()
        assert fitted.note_[TOLD] > max(nested, 0) + 0.08, encoder
        assert abs(nested) < 0.2


def test_flat_targets_are_counted():
    block = BLOCK[:TRAIN].copy(deep=True)
    block.values[:, 4] = 2.0
    fitted = Ensemble().fit(features(), [[block]])
    assert fitted.note_["targets without variance"] == 1
    assert "targets without variance" not in Ensemble().fit(features(), GROUPS).note_


def test_mistakes_are_named():
    for encoder in ALL:
        with pytest.raises(RecipeError, match="cannot start from another fit"):
            encoder.fit(features(), GROUPS, start=object())
        with pytest.raises(DataError, match="a blend needs members"):
            encoder.fit(Features({}, tuple(IDS)), GROUPS)
    for wrong, match in (
        ({"bounds": (1.0, 0.0)}, r"bounds = \[1.0, 0.0\]"),
        ({"tol": 0.0}, "tol = 0.0 must be above 0"),
        ({"starts": 0}, "starts = 0"),
    ):
        with pytest.raises(RecipeError, match=match):
            Ensemble(**wrong)
    with pytest.raises(RecipeError, match="temperature = 0"):
        Softmax(temperature=0.0)
    with pytest.raises(RecipeError, match="k = 0"):
        Top(k=0)
    with pytest.raises(RecipeError, match=r"k = 3 of 2 members \(a, b\)"):
        Top(k=3).check(["a", "b"], ())
    Top(k=2).check(["a", "b"], ())
