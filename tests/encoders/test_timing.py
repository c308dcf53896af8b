"""Steps over time against loops over every chunk, on movies with gaps, in any order."""

import dataclasses
from fnmatch import fnmatch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gamma

from striate.data import ArraySpace, Features, Order
from striate.encoders.scale import ZScore
from striate.encoders.timing import HRF, Context, Delays, haemodynamic_response
from striate.errors import RecipeError
from striate.registry import build
from striate.testing import check_step

WIDTH = 3


@st.composite
def movies(draw):
    """Chunks of up to three movies, some of them missing, in any order; which are asked for."""
    names = draw(
        st.lists(st.sampled_from(["a", "b10", "b#1"]), min_size=1, max_size=3, unique=True)
    )
    known = {n: draw(st.sets(st.integers(0, 14), min_size=1, max_size=12)) for n in names}
    ids = [f"{n}#{k:04d}" for n, ks in known.items() for k in ks]
    ids = draw(st.permutations(ids))
    return ids, draw(st.lists(st.sampled_from(ids), min_size=1, unique=True))


def filmed(ids, asked):
    """Random features of these chunks, seen for some of them."""
    places = {i: (i.rpartition("#")[0], int(i.rpartition("#")[2])) for i in ids}
    x = np.random.default_rng(len(ids)).standard_normal((len(ids), WIDTH))
    return Features({"x": ArraySpace(tuple(ids), x)}, tuple(asked), order=Order(places))


def movie(chunks, values=None, name="m"):
    """One movie whose feature is the index of the chunk, unless values are given."""
    ids = tuple(f"{name}#{k:04d}" for k in chunks)
    x = np.array(chunks, dtype=float)[:, None] if values is None else np.asarray(values)
    places = {i: (name, k) for i, k in zip(ids, chunks, strict=True)}
    return Features({"x": ArraySpace(ids, x)}, ids, order=Order(places))


def at(features, name, index, edge):
    """Values of one chunk, from the definition of `edge`."""
    known = {k: i for i, (m, k) in features.order.places.items() if m == name}
    if index not in known and edge == "zero":
        return np.zeros(WIDTH)
    while index not in known and index > min(known):
        index -= 1
    index = max(index, min(known))
    return features.spaces["x"].read([known[index]])[0]


def slow(features, offsets, edge):
    """Stimulus × offset × feature, chunk by chunk."""
    rows = []
    for i in features.ids:
        name, index = features.order.places[i]
        if edge == "shift":
            known = [k for m, k in features.order.places.values() if m == name]
            start = min(index + offsets[0], max(known) - len(offsets) + 1)
            start = max(start, min(known))
            rows.append([at(features, name, start + k, edge) for k in range(len(offsets))])
        else:
            rows.append([at(features, name, index + o, edge) for o in offsets])
    return np.array(rows)


def out(step, features):
    return step.fit(features).transform(features)["x"]


@settings(max_examples=60, deadline=None)
@given(
    movies(),
    st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True),
    st.sampled_from(["zero", "hold"]),
)
def test_delays_are_the_chunks_before(drawn, delays, edge):
    features = filmed(*drawn)
    found = out(Delays(tuple(delays), edge), features)
    expected = slow(features, [-d for d in delays], edge)
    np.testing.assert_array_equal(found, expected.reshape(len(features), -1))


@settings(max_examples=60, deadline=None)
@given(
    movies(),
    st.integers(0, 4),
    st.integers(0, 2),
    st.integers(0, 3),
    st.sampled_from(["mean", "flatten", "max"]),
    st.sampled_from(["zero", "hold", "shift"]),
)
def test_context_is_a_window_of_chunks(drawn, before, after, delay, reduce, edge):
    features = filmed(*drawn)
    found = out(Context(before, after, delay, reduce, edge), features)
    window = slow(features, list(range(-delay - before, -delay + after + 1)), edge)
    expected = {
        "mean": window.mean(axis=1),
        "max": window.max(axis=1),
        "flatten": window.reshape(len(features), -1),
    }[reduce]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(movies(), st.sampled_from(["zero", "hold"]))
def test_hrf_is_a_convolution_within_each_movie(drawn, edge):
    features = filmed(*drawn)
    step = HRF(tr=1.5, length=12.0, edge=edge)
    found = out(step, features)
    window = slow(features, [-k for k in range(8)], edge)
    expected = np.einsum("ikf,k->if", window, step.weights())
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_convolution_of_a_whole_movie_is_numpys():
    x = np.random.default_rng(0).standard_normal((60, 1))
    step = HRF(tr=1.49)
    found = out(step, movie(range(60), x))
    np.testing.assert_allclose(found[:, 0], np.convolve(x[:, 0], step.weights())[:60], atol=1e-12)


def test_the_response_is_a_difference_of_gamma_densities():
    t = np.arange(0, 40, 0.01)
    first, second = (gamma.pdf(t, a + 1, scale=0.9) for a in (6, 12))
    expected = first / first.max() - 0.35 * second / second.max()
    found = haemodynamic_response(t)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert t[found.argmax()] == pytest.approx(5.2, abs=0.1)
    assert t[found.argmin()] == pytest.approx(12.3, abs=0.1)
    assert HRF(tr=0.7).weights().sum() == pytest.approx(1)


STEPS = [
    Delays((0, 1, 4)),
    Delays((2,), "hold"),
    Context(2, 1, 3, "flatten"),
    Context(3, 0, 0, "max", "shift"),
    HRF(tr=2.0),
]


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_nothing_comes_from_another_movie(step):
    both = [movie(range(6), name="m"), movie(range(9), np.full((9, 1), 1e9), name="n")]
    ids = tuple(i for f in both for i in f.ids)
    x = np.concatenate([f["x"] for f in both])
    order = Order({**both[0].order.places, **both[1].order.places})
    view = Features({"x": ArraySpace(ids, x)}, both[0].ids, order=order)
    np.testing.assert_array_equal(out(step, view), out(step, both[0]))
    assert all(i.startswith("m") for i in step.reach(view.ids, order))


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_what_is_read_is_what_reach_names(step):
    whole = movie([0, 1, 2, 4, 5, 6, 9, 10, 11])
    asked = whole.ids[4:6]
    reached = step.reach(asked, whole.order)
    cut = Features({"x": ArraySpace(reached, whole.rows(reached)["x"])}, asked, order=whole.order)
    np.testing.assert_array_equal(out(step, cut), out(step, whole)[4:6])
    assert len(set(reached)) == len(reached)


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_the_contract_is_kept(step):
    check_step(step)


def test_columns_come_delay_by_delay_and_maps_are_flattened():
    features = movie(range(4), np.arange(16.0).reshape(4, 1, 2, 2))
    found = out(Delays((1, 0)), features)
    assert found[0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3]
    assert found[2].tolist() == [4, 5, 6, 7, 8, 9, 10, 11]


def test_single_precision_stays():
    features = movie(range(5), np.ones((5, 2), dtype=np.float32))
    for step in STEPS:
        assert out(step, features).dtype == np.float32


def test_zeros_are_the_mean_behind_zscore():
    features = movie(range(8), 50 + np.random.default_rng(0).standard_normal((8, 2)))
    scaled = ZScore().fit(features).transform(features)
    found = out(Delays((1,)), scaled)
    assert (found[0] == 0).all()
    np.testing.assert_array_equal(found[1:], scaled["x"][:-1])


@pytest.mark.parametrize(
    ("first", "i", "window", "words"),
    [
        (5, 5, [5, 6, 7, 8, 9], 5),
        (5, 12, [5, 6, 7, 8, 9], 9),
        (5, 13, [6, 7, 8, 9, 10], 10),
        (0, 0, [0, 1, 2, 3, 4], 0),
        (0, 7, [0, 1, 2, 3, 4], 4),
        (0, 8, [1, 2, 3, 4, 5], 5),
    ],
)
def test_windows_of_the_algonauts_2025_kit(first, i, window, words):
    """Chunks i − 7 … i − 3 from the first chunk that is used: 5 in training, 0 in the test."""
    features = movie(range(first, 30)).rows([f"m#{i:04d}"])
    step = Context(before=4, delay=3, reduce="flatten", edge="shift")
    assert out(step, features)[0].tolist() == window
    single = Context(before=0, delay=3, reduce="flatten", edge="shift")
    assert out(single, features)[0].tolist() == [words]


@settings(max_examples=30, deadline=None)
@given(
    movies(),
    st.sampled_from([Delays((0, 2)), Context(before=1, delay=1), HRF(tr=2.0)]),
    st.lists(st.sampled_from(["film.*", "*.low", "words"]), max_size=3, unique=True),
)
def test_a_step_for_some_spaces_leaves_the_others_alone(drawn, step, patterns):
    x = filmed(*drawn)
    known = x.spaces["x"].ids
    maps = np.random.default_rng(1).standard_normal((len(known), 2, 1, 3))
    names = ("words", "film.high", "sound.low", "film.low")
    spaces = {n: ArraySpace(known, maps * k) for k, n in enumerate(names, 1)}
    features = dataclasses.replace(x, spaces=spaces)
    meant = [n for n in names if not patterns or any(fnmatch(n, p) for p in patterns)]
    every = step.fit(features).transform(features)
    asked = dataclasses.replace(step, spaces=tuple(patterns))
    found = asked.fit(features).transform(features)
    assert found.names == names and found.ids == features.ids
    for name in names:
        want = every[name] if name in meant else features[name]
        np.testing.assert_array_equal(found[name], want)
        assert found[name].shape == want.shape
    assert asked.reach(features.ids, features.order) == step.reach(features.ids, features.order)


def test_two_windows_behind_each_other():
    """Film as it was two to four chunks ago, words as they were one ago, neither shifted twice."""
    whole = movie(range(9))
    features = dataclasses.replace(
        whole, spaces={"film.a": whole.spaces["x"], "words": whole.spaces["x"]}
    )
    first = Context(before=2, delay=2, reduce="flatten", edge="shift", spaces=("film.*",))
    second = Delays((1,), "hold", spaces=("words",))
    for steps in ((first, second), (second, first)):
        seen = features
        for step in steps:
            seen = dataclasses.replace(step.fit(seen).transform(seen), order=features.order)
        assert seen["film.a"][[0, 5, 8]].tolist() == [[0, 1, 2], [1, 2, 3], [4, 5, 6]]
        assert seen["words"][[0, 5, 8]].tolist() == [[0], [4], [7]]


@pytest.mark.parametrize("step", [Delays, Context, lambda spaces: HRF(tr=2.0, spaces=spaces)])
def test_spaces_that_are_not_there_are_told(step):
    with pytest.raises(RecipeError, match=r"spaces = \['y.*'\].*feature space 'y.*'.*: x"):
        step(spaces=("y.*",)).fit(movie(range(4)))


def test_a_window_that_runs_past_the_end_is_the_last_one():
    step = Context(before=2, after=2, reduce="flatten", edge="shift")
    assert out(step, movie(range(8)))[-1].tolist() == [3, 4, 5, 6, 7]
    assert out(step, movie(range(3)))[1].tolist() == [0, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"use": "delays", "delays": []}, r"delays = \[\] must be different numbers of chunks"),
        ({"use": "delays", "delays": [1, 1]}, "must be different"),
        ({"use": "delays", "delays": [-1]}, "`context` looks ahead"),
        ({"use": "delays", "edge": "shift"}, "edge = 'shift' does not fit"),
        ({"use": "context", "before": 1, "after": -2}, "no chunk in the window"),
        ({"use": "context", "reduce": "sum"}, "reduce = 'sum' does not fit"),
        ({"use": "hrf"}, "needs tr"),
        ({"use": "hrf", "tr": 0.0}, "must be the seconds of a chunk"),
        ({"use": "hrf", "tr": 20.0}, "at most half of length = 30.0"),
    ],
)
def test_mistakes_are_told(line, message):
    with pytest.raises(RecipeError, match=message):
        build("step", line)


def test_a_still_image_has_no_past():
    features = Features({"x": ArraySpace(("im0",), np.ones((1, 1)))}, ("im0",))
    for step in STEPS:
        with pytest.raises(RecipeError, match="'im0' has no place in a movie"):
            step.reach(("im0",), features.order)
        with pytest.raises(RecipeError, match="give the stimuli labels `movie` and `index`"):
            out(step, features)
