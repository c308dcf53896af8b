"""Steps over time through the loop: chunks around the rows, fits on training rows, keys, splits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.data import ArraySpace, Features, Order, Stimuli, label_responses, natural_key
from striate.encoders.timing import Context, Delays
from striate.errors import RecipeError
from striate.machine import using
from striate.run import Plan, predict_images
from striate.run.timing import applied, in_natural_order, needed, timed
from striate.splits import KFold, leak_units

from .parts import Centre, noted, solve
from .worlds import PARTS, Bench, folds, values

LENGTHS = {"ep1": 30, "ep2": 24, "ep10": 27, "film": 33, "last": 26, "more": 20}
RIDGE = {"use": "ridge", "alphas": [0.01, 1.0, 100.0], "folds": 2}


class Movies(Bench):
    """Chunks of some movies; the response is the feature of the chunk `late` chunks before."""

    def __init__(self, root, late=2, lengths=LENGTHS, first=0):
        super().__init__(root)
        self.ids = [f"{m}#{k:04d}" for m, size in lengths.items() for k in range(size)]
        self.movie = np.array([i.partition("#")[0] for i in self.ids])
        self.index = np.array([int(i.partition("#")[2]) for i in self.ids])
        self.table = pd.DataFrame(index=self.ids)
        self.x = self.rng.standard_normal((len(self.ids), 5))
        self.write_features()
        self.answer(late, first)

    def before(self, x, late):
        """Features of the chunk `late` chunks before; zeros before the start of the movie."""
        shifted = np.roll(x, late, axis=0)
        shifted[self.index < late] = 0
        return shifted

    def answer(self, late, first=0):
        signal = self.before(self.x, late) @ self.weights[:, :4]
        y = signal + 0.1 * self.rng.standard_normal(signal.shape)
        shown = np.flatnonzero(self.index >= first)
        self.blocks["s1"] = label_responses(
            y[shown], [self.ids[k] for k in shown], ["t0", "t1", "t2", "t3"], subject="s1"
        )

    def plan(self, members, **more):
        with using(self.machine()):
            return Plan(self.recipe(members, **more))


@pytest.fixture
def movies(tmp_path):
    return Movies(tmp_path)


def median(report):
    return report.summary["scores"]["pearson"]["median"]


def by_hand(world, features_of, alpha=1.0):
    """Predictions of `Linear` over three folds of movies; `features_of` sees the training rows."""
    fold = folds(world.movie.tolist(), 3)
    y = world.blocks["s1"].values
    found = np.empty_like(y)
    for k in range(3):
        train = fold != k
        x = features_of(world.x, train)
        w, b = solve(x[train], y[train], alpha)
        found[~train] = x[~train] @ w + b
    return found


def test_a_delayed_response_is_found_by_delays_and_not_without(movies):
    delays = {"use": "delays", "delays": [1, 2, 3]}
    with_delays = movies.run([{"name": "m", "steps": ["zscore", delays], "encoder": RIDGE}])
    assert median(with_delays) > 0.95
    without = movies.run([{"name": "m", "steps": ["zscore"], "encoder": RIDGE}])
    assert median(without) < 0.5


def test_delays_behind_zscore_are_those_by_hand(movies):
    steps = ["zscore", {"use": "delays", "delays": [0, 2]}]
    report = movies.run([{"name": "m", "steps": steps, "encoder": movies.linear()}])

    def scaled(x, train):
        z = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
        return np.concatenate([z, movies.before(z, 2)], axis=1)

    np.testing.assert_allclose(
        values(report, ids=movies.ids), by_hand(movies, scaled), rtol=1e-5, atol=1e-5
    )


def test_delays_between_components_are_those_by_hand(movies):
    """Components of the training rows, their past beside them, and components of that again."""
    from sklearn.decomposition import PCA

    delays = {"use": "delays", "delays": [1, 3]}
    steps = [{"use": "pca", "components": 3}, delays, {"use": "pca", "components": 4}, "zscore"]
    report = movies.run([{"name": "m", "steps": steps, "encoder": movies.linear()}])

    def reduced(x, train):
        first = PCA(3, svd_solver="full").fit(x[train]).transform(x)
        past = np.concatenate([movies.before(first, d) for d in (1, 3)], axis=1)
        second = PCA(4, svd_solver="full").fit(past[train]).transform(past)
        return (second - second[train].mean(axis=0)) / second[train].std(axis=0)

    np.testing.assert_allclose(
        values(report, ids=movies.ids), by_hand(movies, reduced), rtol=1e-5, atol=1e-5
    )


def test_steps_of_ones_own_are_fitted_on_training_rows_and_applied_around_them(tmp_path):
    movies = Movies(tmp_path, first=3)
    delays = {"use": "delays", "delays": [2]}
    steps = [movies.centre(), movies.centre(), delays, movies.centre()]
    report = movies.run([{"name": "m", "steps": steps, "encoder": movies.linear()}])
    assert median(report) > 0.95
    shown = set(movies.blocks["s1"].row.values)
    fits = [set(line["step"]) for line in noted(movies.log) if "step" in line]
    assert len(fits) == 9
    for seen in fits:
        assert seen < shown
        assert len({i.partition("#")[0] for i in seen}) == 4  # two of six movies are the test


def test_the_order_of_stimuli_rows_and_features_changes_nothing(tmp_path):
    member = {
        "name": "m",
        "steps": ["zscore", {"use": "context", "before": 2, "delay": 1}],
        "encoder": RIDGE,
    }
    first, second = (Movies(tmp_path / n) for n in ("a", "b"))
    one = first.run([member])
    mixed = np.random.default_rng(1).permutation(len(second.ids))
    second.blocks["s1"] = second.blocks["s1"].isel(row=mixed[::-1])
    ids = list(second.ids)
    second.table = second.table.iloc[mixed]
    second.ids, second.x = [ids[k] for k in mixed], second.x[mixed]
    second.write_features()
    other = second.run([member])
    np.testing.assert_allclose(values(one, ids=ids), values(other, ids=ids), atol=1e-6)


def test_labels_say_what_the_ids_do_not(tmp_path):
    first, second = (Movies(tmp_path / n) for n in ("a", "b"))
    names = [f"chunk{k}" for k in np.random.default_rng(2).permutation(len(second.ids))]
    second.table = pd.DataFrame({"movie": second.movie, "index": second.index}, index=names)
    block = second.blocks["s1"]
    second.blocks["s1"] = label_responses(block.values, names, block.target.values, subject="s1")
    ids, second.ids = second.ids, names
    second.write_features()
    steps = ["zscore", {"use": "delays", "delays": [2]}]
    # Six folds of six movies: one is out at a time, whatever the order of names.
    one, other = (
        made.run(
            [{"name": "m", "steps": steps, "encoder": made.linear()}],
            split={"use": "kfold", "folds": 6},
        )
        for made in (first, second)
    )
    assert median(one) > 0.95
    np.testing.assert_allclose(values(other, ids=names), values(one, ids=ids), atol=1e-6)


def test_members_that_share_steps_see_what_each_needs(tmp_path):
    movies = Movies(tmp_path, first=3)
    delays = {"use": "delays", "delays": [2]}
    lines = [
        {"name": "plain", "steps": [movies.centre()], "encoder": movies.linear("plain")},
        {"name": "late", "steps": [movies.centre(), delays], "encoder": movies.linear("late")},
        {"name": "again", "steps": [movies.centre()], "encoder": movies.linear("again", alpha=2.0)},
    ]
    together = movies.run([*lines, {"name": "all", "features": ["late"], "encoder": "mean"}])
    alone = Movies(tmp_path / "alone", first=3)
    late = {"name": "late", "steps": [alone.centre(), delays], "encoder": alone.linear("late")}
    ids = list(alone.blocks["s1"].row.values)
    np.testing.assert_allclose(
        values(together, ids=ids), values(alone.run([late]), ids=ids), atol=1e-6
    )
    assert together.summary["members"]["plain"]["pearson"]["median"] < 0.5


def pictures(bench, ids):
    folder = bench.root / "images"
    folder.mkdir(exist_ok=True)
    for k, i in enumerate(ids):
        pixels = np.random.default_rng(k).integers(0, 255, (2, 2, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    bench.table["file"] = [str(folder / f"{i}.png") for i in bench.table.index]
    return {"use": f"{PARTS}:Means", "log": str(bench.log)}


@pytest.fixture
def filmed(tmp_path):
    """Movies of six chunks, the first two of which nobody answered to."""
    made = Movies(tmp_path, lengths={f"m{k}": 6 for k in range(9)}, first=2)
    features = {"net": pictures(made, made.ids)}
    delays = {"use": "delays", "delays": [2]}
    base = {"features": ["net.*"], "steps": [made.centre(), delays]}
    members = [
        base | {"name": "late", "encoder": made.linear("late")},
        {"name": "plain", "features": ["net.*"], "encoder": made.linear("plain")},
        {"name": "stack", "features": ["late"], "encoder": "stack"},
    ]
    return made, members, {"features": features, "inner": {"folds": 2}}


def places(made, members, more):
    """The keys of each member's outer tasks, by the movies that are predicted."""
    plan = made.plan(members, **more)
    return {
        (m.name, frozenset(i.partition("#")[0] for i in c.test)): [
            (t.key, t.rows_key) for t in plan.tasks(m, c.train, c.test)
        ]
        for m in plan.recipe.member
        for c in plan.outer()
    }


def test_chunks_that_nobody_answered_to_are_part_of_the_keys(filmed):
    made, members, more = filmed
    before = places(made, members, more)
    assert "m4#0000" not in made.blocks["s1"].row.values
    Image.new("RGB", (2, 2), (9, 200, 40)).save(made.root / "images" / "m4#0000.png")
    after = places(made, members, more)
    for (name, test), keys in before.items():
        fit, rows = zip(*after[name, test], strict=True)
        same_fit = fit == tuple(k for k, _ in keys)
        same_rows = rows == tuple(r for _, r in keys)
        if name == "plain":
            assert same_fit
            assert same_rows
        elif "m4" in test:
            # Only what is predicted looks at the chunk: the fits stand.
            assert not same_rows
            assert same_fit
        else:
            assert not same_fit


def test_a_changed_chunk_changes_the_prediction_of_those_behind_it(filmed):
    made, members, more = filmed
    last = {"name": "answer", "features": ["late"], "encoder": "mean"}
    lines = [members[0], last]
    first = made.run(lines, **more)
    fits = [line for line in noted(made.log) if "fit" in line]
    Image.new("RGB", (2, 2), (9, 200, 40)).save(made.root / "images" / "m4#0000.png")
    second = made.run(lines, **more)
    ids = list(made.blocks["s1"].row.values)
    moved = np.abs(values(first, ids=ids) - values(second, ids=ids)).max(axis=1) > 1e-9
    assert moved[ids.index("m4#0002")]
    fold = dict(zip(made.movie, folds(made.movie.tolist(), 3), strict=True))
    same = [i for i in ids if fold[i.partition("#")[0]] == fold["m4"] and i != "m4#0002"]
    assert not moved[[ids.index(i) for i in same]].any()
    # The fit of the fold that tests m4 is not done again.
    assert len([line for line in noted(made.log) if "fit" in line]) == len(fits) + 2


def test_a_second_run_does_nothing(filmed):
    made, members, more = filmed
    made.run(members, **more)
    before = made.log.read_bytes()
    made.run(members, **more)
    assert made.log.read_bytes() == before


def test_places_are_part_of_the_keys(movies):
    delays = {"use": "delays", "delays": [2]}
    members = [
        {"name": "late", "steps": [delays], "encoder": movies.linear()},
        {"name": "plain", "encoder": movies.linear()},
        {"name": "stack", "features": ["late"], "encoder": "stack"},
    ]
    more = {"split": {"use": "fixed", "test": [i for i in movies.ids if i.startswith("last")]}}
    movies.table = pd.DataFrame(
        {"movie": movies.movie, "index": movies.index, "group": movies.movie}, index=movies.ids
    )
    before = places(movies, members, more)
    ends = [movies.ids.index(i) for i in ("ep1#0028", "ep1#0029")]
    movies.table.iloc[ends, 1] = [29, 28]
    after = places(movies, members, more)
    for (name, test), keys in before.items():
        changed = {k for k, _ in keys} != {k for k, _ in after[name, test]}
        assert changed == (name != "plain")


def test_a_fit_that_goes_on_from_another_sees_the_same_past(movies):
    steps = [movies.centre(), {"use": "delays", "delays": [1, 2]}]
    base = {"name": "base", "steps": steps, "encoder": movies.linear("base")}
    after = {"name": "after", "steps": steps, "encoder": movies.linear("after"), "after": "base"}
    assert median(movies.run([base, after])) > 0.95


def test_new_chunks_have_a_past_of_their_own(filmed):
    made, members, more = filmed
    recipe = made.recipe(members[:1], **more)
    new = made.root / "new"
    new.mkdir()
    for k in range(4):
        pixels = np.random.default_rng(100 + k).integers(0, 255, (2, 2, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(new / f"m4#{k:04d}.png")
    files = sorted(map(str, new.iterdir()))
    whole = predict_images(recipe, files, made.machine())["s1"]
    part = predict_images(recipe, files[1:], made.machine())["s1"]
    ids = [f"new/m4#{k:04d}" for k in range(4)]
    found = whole.sel(row=ids).values
    rest = part.sel(row=ids[1:]).values
    np.testing.assert_allclose(rest[[0, 2]], found[[1, 3]])
    assert (np.abs(rest[1] - found[2]) > 1e-9).all()  # its past is missing now


def test_stills_have_no_past(tmp_path):
    bench = Bench(tmp_path)
    bench.subject()
    member = {"name": "m", "steps": ["delays"], "encoder": bench.linear()}
    with pytest.raises(RecipeError, match="stimulus 'im0' has no place in a movie"):
        bench.run([member])


def test_movies_are_not_parted_unless_groups_say_so():
    ids = [f"{m}#{k:04d}" for m in ("a", "b", "c") for k in range(4)] + ["still"]
    made = Stimuli(pd.DataFrame(index=ids))
    assert leak_units(made).nunique() == 4
    assert leak_units(made)["b#0003"] == "b#0000"
    for call in KFold(4).calls(made):
        assert len({i.partition("#")[0] for i in call.test}) == 1
    halves = made.with_column("group", [i[-1] for i in ids])
    assert leak_units(halves)["b#0003"] == "a#0003"
    labelled = Stimuli(pd.DataFrame({"movie": ["x", "x", ""], "index": [0, 1, ""]}, index=[*"pqr"]))
    assert leak_units(labelled).tolist() == ["p", "p", "r"]


@dataclasses.dataclass(frozen=True)
class Forgetful(Centre):
    """Makes features anew, as one does who knows nothing of an order."""

    def transform(self, features):
        return Features(super().transform(features).spaces, features.ids)


def test_each_step_is_given_what_those_behind_it_need():
    ids = tuple(f"m#{k:04d}" for k in range(12))
    order = Order({i: ("m", k) for k, i in enumerate(ids)})
    steps = [Forgetful(), Delays((3,)), Forgetful(), Context(before=1)]
    assert [timed([s]) for s in steps] == [False, True, False, True]
    found = needed(steps, (ids[9], ids[8]), order)
    assert found[4] == (ids[9], ids[8])
    assert found[3] == found[2] == ids[7:10]
    assert found[1] == found[0] == ids[4:10]
    x = np.arange(12.0)[:, None]
    view = Features({"x": ArraySpace(ids, x)}, ids, order=order)
    for step, wanted in zip(steps, found[1:], strict=True):
        view = applied(step.fit(view.rows(ids[8:10])), view, wanted)
        assert view.order is order
    # Chunks 5 and 6 minus their mean, each with the one before it.
    assert view["x"].tolist() == [[0.0], [-1.0]]
    assert needed([], ids, order) == [ids]
    assert in_natural_order({"a10", "a9"}) == tuple(sorted({"a10", "a9"}, key=natural_key))
