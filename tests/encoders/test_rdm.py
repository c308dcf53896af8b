"""RDM encoders find the layers that were planted, for each target, across subjects and times."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from striate.data import ArraySpace, Features, align, label_responses
from striate.encoders.rdm import RDM, SIMILARITIES, BestRDM, WeightedRDM, layer_distances
from striate.errors import DataError, RecipeError

RNG = np.random.default_rng(0)
SETS = {"one": 16, "two": 12}
IDS = [f"{s}.{k}" for s, n in SETS.items() for k in range(n)]
LAYERS = {n: RNG.standard_normal((len(IDS), 10)) for n in ("low", "mid", "high")}
FEATURES = Features({n: ArraySpace(tuple(IDS), v) for n, v in LAYERS.items()}, tuple(IDS))
CORRELATION = {n: squareform(pdist(v, "correlation")) for n, v in LAYERS.items()}


def pairs(name):
    start = list(SETS).index(name) * SETS["one"]
    i, j = np.triu_indices(SETS[name], 1)
    return i + start, j + start


def block(name, mixes, subject, noise=0.0, times=1, seed=0):
    """RDMs of one subject: per target a mix of layers, per time more noise."""
    rng = np.random.default_rng(seed)
    i, j = pairs(name)
    columns, targets, when = [], [], []
    for target, mix in mixes.items():
        for t in range(times):
            signal = sum(w * CORRELATION[n][i, j] for n, w in mix.items())
            columns.append(signal + noise * rng.standard_normal(len(i)))
            targets.append(target)
            when.append(t)
    ids = np.array(IDS, dtype=object)
    return label_responses(
        np.stack(columns, axis=1),
        np.stack([ids[i], ids[j]], axis=1),
        targets,
        subject=subject,
        target_labels={"time": when} if times > 1 else {},
        rois={t: [x == t for x in targets] for t in mixes},
    )


PLANTED = {"EVC": {"low": 1.0}, "IT": {"high": 1.0}}


@pytest.mark.parametrize("distance", ["correlation", "euclidean", "squared_euclidean", "cosine"])
def test_distances_are_scipys(distance):
    i, j = pairs("one")
    found = layer_distances(FEATURES, block("one", PLANTED, "s"), distance)
    for layer, name in zip(found, LAYERS, strict=True):
        metric = distance.replace("squared_", "sq")
        expected = squareform(pdist(LAYERS[name], metric))[i, j]
        np.testing.assert_allclose(layer, expected, rtol=1e-9, atol=1e-12)


def test_rdm_answers_for_all_subjects_and_learns_nothing():
    group = [block("one", PLANTED, s, noise=9.0) for s in ("s1", "s2")]
    fitted = RDM().fit(FEATURES.select(["low", "mid"]), [group])
    test = block("two", PLANTED, "s3")
    found = fitted.predict(FEATURES.select(["low", "mid"]), test)
    assert "subject" not in found.coords
    assert list(found.target.values) == ["EVC", "IT"]
    both = np.concatenate([LAYERS["low"], LAYERS["mid"]], axis=1)
    expected = squareform(pdist(both, "correlation"))[pairs("two")]
    np.testing.assert_allclose(found.values, np.stack([expected] * 2, axis=1))
    assert not np.isnan(align(test, {"": found})).any()
    assert not RDM.learns


@pytest.mark.parametrize("encoder", [BestRDM(), WeightedRDM()])
def test_planted_layers_are_found_across_subjects(encoder):
    # Each subject alone is too noisy for its own choice; together they are not.
    group = [block("one", PLANTED, f"s{k}", noise=0.8, seed=k) for k in range(12)]
    fitted = encoder.fit(FEATURES, [group])
    found = fitted.predict(FEATURES, block("two", PLANTED, "new"))
    for target, layer in (("EVC", "low"), ("IT", "high")):
        model = CORRELATION[layer][pairs("two")]
        assert np.corrcoef(found.sel(target=target).values, model)[0, 1] > 0.9
    if isinstance(encoder, BestRDM):
        assert fitted.choice_ == ["low", "high"]
        assert fitted.note_ == {"space of EVC": "low", "space of IT": "high"}
    else:
        assert fitted.weights_.argmax(axis=1).tolist() == [0, 2]
        assert fitted.weights_.min() >= 0


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_every_similarity_finds_the_planted_layers(similarity):
    group = [block("one", PLANTED, f"s{k}", noise=0.5, seed=k) for k in range(8)]
    group += [block("two", PLANTED, f"t{k}", noise=0.5, seed=k) for k in range(4)]
    fitted = BestRDM(similarity=similarity).fit(FEATURES, [group])
    assert fitted.choice_ == ["low", "high"]
    order = np.random.default_rng(0).permutation(len(group[0]))
    turned = block("one", PLANTED, "s", noise=0.2)[order]
    assert BestRDM(similarity=similarity).fit(FEATURES, [[turned]]).choice_ == ["low", "high"]


def test_whitened_similarities_need_every_pair():
    made = block("one", PLANTED, "s", noise=0.2)
    with pytest.raises(DataError, match=r"all 120 pairs of 16 stimuli, but .* on 119"):
        BestRDM(similarity="whitened_cosine").fit(FEATURES, [[made[1:]]])


@pytest.mark.parametrize("encoder", [BestRDM(), WeightedRDM()])
def test_each_subject_has_its_own_when_fitted_alone(encoder):
    one = block("one", {"IT": {"low": 1.0}}, "s1", noise=0.1)
    two = block("one", {"IT": {"high": 1.0}}, "s2", noise=0.1)
    fitted = encoder.fit(FEATURES, [[one], [two]])
    found = fitted.predict(FEATURES, block("two", PLANTED, "x"))
    assert found.subject.values.tolist() == ["s1", "s2"]
    for k, layer in enumerate(("low", "high")):
        model = CORRELATION[layer][pairs("two")]
        assert np.corrcoef(found.values[:, k], model)[0, 1] > 0.95


@pytest.mark.parametrize("encoder", [BestRDM(), WeightedRDM()])
def test_times_are_pooled_unless_they_are_groups(encoder):
    made = block("one", PLANTED, "s1", noise=0.3, times=4)
    joint = encoder.fit(FEATURES, [[made]])
    found = joint.predict(FEATURES, block("two", PLANTED, "s1", times=4))
    assert "time" not in found.coords
    assert found.shape[1] == 2
    early = made.isel(target=np.flatnonzero(made.time.values == 0))
    late = made.isel(target=np.flatnonzero(made.time.values == 3))
    split = encoder.fit(FEATURES, [[early], [late]])
    found = split.predict(FEATURES, block("two", PLANTED, "s1", times=4))
    assert found.time.values.tolist() == [0, 0, 3, 3]


def test_weights_of_a_mix_come_back():
    mix = {"IT": {"low": 2.0, "mid": 1.0}}
    group = [block(s, mix, f"{s}.s", noise=0.0) for s in SETS]
    fitted = WeightedRDM().fit(FEATURES, [group])
    scales = [CORRELATION[n][pairs("one")].std() for n in ("low", "mid")]
    ratio = fitted.weights_[0, 0] / fitted.weights_[0, 1]
    assert ratio == pytest.approx(2 * scales[0] / scales[1], rel=0.1)
    assert fitted.weights_[0, 2] < 0.05
    found = fitted.predict(FEATURES, block("two", mix, "x")).values[:, 0]
    truth = block("two", mix, "x").values[:, 0]
    assert np.corrcoef(found, truth)[0, 1] > 0.99


def test_predictions_do_not_depend_on_what_else_is_predicted():
    fitted = WeightedRDM().fit(FEATURES, [[block("one", PLANTED, "s", noise=0.2)]])
    test = block("two", PLANTED, "s")
    whole, part = (fitted.predict(FEATURES, t).values for t in (test, test[7:19]))
    np.testing.assert_allclose(whole[7:19], part, rtol=1e-12)
    # The affine scale is that of the training pairs.
    slope = fitted.weights_ / fitted.deviations_
    far = layer_distances(FEATURES, test, "correlation")
    np.testing.assert_allclose(whole, (far.T - fitted.means_[0]) @ slope.T, rtol=1e-9)


@pytest.mark.parametrize("encoder", [BestRDM(), WeightedRDM()])
def test_pairs_that_were_not_measured_are_left_out(encoder):
    clean = block("one", PLANTED, "s1", noise=0.2)
    gaps = clean.copy(deep=True)
    gaps.values[::3, 0] = np.nan
    found = encoder.fit(FEATURES, [[gaps]]).predict(FEATURES, block("two", PLANTED, "s"))
    rows = np.flatnonzero(~np.isnan(gaps.values[:, 0]))
    expected = encoder.fit(FEATURES, [[clean[rows]]]).predict(FEATURES, block("two", PLANTED, "s"))
    np.testing.assert_allclose(
        found.sel(target="EVC").values, expected.sel(target="EVC").values, rtol=1e-9
    )
    gaps.values[:, 1] = np.nan
    with pytest.raises(DataError, match="target 'IT' was measured on no training pairs"):
        encoder.fit(FEATURES, [[gaps]])


def test_regions_of_subjects_that_lack_them_stay_booleans():
    one = block("one", {"EVC": {"low": 1.0}}, "s1")
    two = block("one", {"IT": {"low": 1.0}}, "s2")
    for encoder in (RDM(), BestRDM(), WeightedRDM()):
        found = encoder.fit(FEATURES, [[one, two]]).predict(FEATURES, one)
        assert found["roi:EVC"].dtype == bool
        assert found["roi:EVC"].values.tolist() == [True, False]


def test_rows_must_be_pairs():
    single = label_responses(np.zeros((2, 1)), IDS[:2])
    for encoder in (RDM(), BestRDM(), WeightedRDM()):
        with pytest.raises(RecipeError, match="cannot start from another fit"):
            encoder.fit(FEATURES, [[block("one", PLANTED, "s")]], start=encoder)
    with pytest.raises(DataError, match="a row names 1; use an encoder of responses"):
        BestRDM().fit(FEATURES, [[single]])
    with pytest.raises(DataError, match="given no feature spaces"):
        RDM().fit(FEATURES, [[block("one", PLANTED, "s")]]).predict(
            Features({}, tuple(IDS)), block("one", PLANTED, "s")
        )
