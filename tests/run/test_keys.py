"""What is done again and what is not: a task's key has all that decides its numbers, no more."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from striate.data import label_responses
from striate.machine import using
from striate.recipe import load_recipe
from striate.run import Plan, Work, run_recipe
from striate.run.plan import in_order

from .parts import noted, write_world
from .worlds import PARTS, Bench, values


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.subject(rois={"V1": [True, True, False, False]})
    return made


def keys(bench, members=None, machine=None, **more):
    """Keys of all tasks of a recipe, by member."""
    member = {"name": "m", "steps": [bench.centre()], "encoder": bench.linear()}
    recipe = bench.recipe(members or [member], **more)
    with using(machine or bench.machine()):
        tasks = [t for wave in in_order(Plan(recipe).wanted()) for t in wave]
    return {(t.key, t.rows_key) for t in tasks}


def test_the_same_recipe_has_the_same_keys(bench):
    assert keys(bench) == keys(bench)
    assert len(keys(bench)) == 3


def test_machine_settings_are_no_part_of_a_key(bench, tmp_path):
    before = keys(bench)
    other = dataclasses.replace(
        bench.machine(), batch=3, threads=2, memory=1 << 20, store=tmp_path / "other"
    )
    assert keys(bench, machine=other) == before
    shutil.copytree(bench.root / "world", bench.root / "moved")
    moved = {"use": f"{PARTS}:World", "path": str(bench.root / "moved")}
    assert keys(bench, dataset=moved) == before
    encoder = bench.linear(log=str(bench.root / "elsewhere"))
    member = {"name": "other", "steps": [bench.centre()], "encoder": encoder}
    assert keys(bench, [member], title="another title") == before


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": {"alpha": 2.0}},
        {"encoder": {"tag": "x"}},
        {"steps": []},
        {"features": ["x.b"]},
        {"per": ["roi"]},
    ],
)
def test_fields_of_a_member_are_part_of_its_keys(bench, change):
    bench.write_features(b=bench.x)
    member = {"name": "m", "steps": [bench.centre()], "encoder": bench.linear()}
    other = member | change
    if "encoder" in change:
        other["encoder"] = member["encoder"] | change["encoder"]
    assert not keys(bench, [member]) & keys(bench, [other])


def test_a_field_of_a_step_is_part_of_the_keys(bench):
    lines = [{"use": "pca", "components": n} for n in (2, 3)]
    found = [keys(bench, [{"name": "m", "steps": [s], "encoder": bench.linear()}]) for s in lines]
    assert not found[0] & found[1]


@pytest.mark.parametrize("what", ["value", "target", "roi", "features", "responses", "units"])
def test_data_are_part_of_the_keys(bench, what):
    before = keys(bench)
    block, more = bench.blocks["s1"], {}
    if what == "value":
        changed = block.values.copy()
        changed[0, 0] += 1e-3
        bench.blocks["s1"] = block.copy(data=changed)
    elif what == "target":
        bench.blocks["s1"] = block.assign_coords(target=["u0", "t1", "t2", "t3"])
    elif what == "roi":
        inside = ("target", np.array([True, False, False, False]))
        bench.blocks["s1"] = block.assign_coords({"roi:V1": inside})
    elif what == "features":
        bench.x[0, 0] += 1e-3
        bench.write_features()
    elif what == "responses":
        more = {"responses": {"zscore": "train"}}
    else:
        bench.table["group"] = ["g" if k in (0, 1) else "" for k in range(24)]
    assert not keys(bench, **more) & before


def test_contents_and_training_ids_are_part_of_the_keys(bench):
    bench.table["digest"] = [f"d{k}" for k in range(24)]
    before = keys(bench)
    bench.table["digest"] = ["other" if k == 5 else f"d{k}" for k in range(24)]
    assert not keys(bench) & before
    bench.table["digest"] = [f"d{k}" for k in range(24)]
    assert not keys(bench, split={"use": "kfold", "folds": 3, "seed": 1}) & before


def test_an_earlier_member_is_part_of_the_keys_of_later_ones(bench):
    found = []
    for alpha in (1.0, 2.0):
        base = {"name": "base", "encoder": bench.linear("base", alpha=alpha)}
        after = {"name": "after", "encoder": bench.linear("after"), "after": "base"}
        last = {"name": "last", "features": ["base"], "encoder": "stack"}
        found.append(keys(bench, [base, after, last], inner={"folds": 2}))
    assert not found[0] & found[1]
    assert len(found[0]) == len(found[1]) == 3 * (1 + 1 + 1 + 2)
    inner = keys(bench, [base, after, last], inner={"folds": 3})
    assert len(inner & found[1]) == 6  # the outer fits of the first two members


def test_hidden_rows_change_no_fit_but_what_is_predicted(bench):
    def planned():
        with using(bench.machine()):
            plan = Plan(bench.recipe([{"name": "m", "encoder": bench.linear()}]))
            return plan.wanted()[-1]

    bench.table["part"] = ["train"] * 18 + ["test"] * 6
    bench.subject(hidden=bench.ids[18:])
    before = planned()
    bench.blocks["s1"] = bench.blocks["s1"].isel(row=list(range(23)))
    bench.blocks["s2"] = label_responses(
        np.full((1, 1), np.nan), bench.ids[23:], ["u"], subject="s2"
    )
    after = planned()
    assert before.train == after.train
    assert before.rows == after.rows
    assert (before.key, before.rows_key) != (after.key, after.rows_key)


def fits(bench):
    return [line for line in noted(bench.log) if "fit" in line]


def test_a_second_run_does_nothing_and_a_superset_only_what_is_new(bench):
    one = {"name": "one", "encoder": bench.linear("one")}
    two = {"name": "two", "encoder": bench.linear("two")}
    last = {"name": "last", "features": ["one", "two"], "encoder": bench.linear("last")}
    first = bench.run([one], inner={"folds": 2})
    assert len(fits(bench)) == 3
    before = bench.log.read_bytes()
    again = bench.run([one], inner={"folds": 2})
    assert bench.log.read_bytes() == before
    np.testing.assert_array_equal(values(first), values(again))
    bench.run([one, two, last], inner={"folds": 2})
    tags = [line["tag"] for line in fits(bench)[3:]]
    assert sorted(tags) == sorted(["two"] * 3 + ["one", "two"] * 6 + ["last"] * 3)
    count = len(fits(bench))
    renamed = one | {"name": "another"}
    told = bench.run([renamed])
    assert len(fits(bench)) == count
    assert {f["member"] for f in told.fits} == {"another"}


def pictures(bench, count=24):
    folder = bench.root / "images"
    folder.mkdir(exist_ok=True)
    for k in range(count):
        pixels = np.random.default_rng(k).integers(0, 255, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"im{k}.png")
    bench.table["file"] = [str(folder / f"{i}.png") for i in bench.table.index]
    return {"use": f"{PARTS}:Means", "log": str(bench.log)}


def extracted(bench):
    return [i for line in noted(bench.log) for i in line.get("extracted", ())]


def test_one_new_image_is_extracted_alone(bench):
    features = {"x": pictures(bench, 25)}
    member = {"name": "m", "features": ["x"], "encoder": bench.linear()}
    bench.run([member], features=features)
    assert sorted(extracted(bench)) == sorted(bench.ids)
    bench.ids.append("im24")
    bench.x = np.concatenate([bench.x, bench.x[:1]])
    file = str(bench.root / "images" / "im24.png")
    bench.table = pd.concat([bench.table, pd.DataFrame({"file": [file]}, index=["im24"])])
    bench.subject()
    bench.run([member], features=features)
    assert extracted(bench)[24:] == ["im24"]
    pixels = np.random.default_rng(99).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(bench.root / "images" / "im3.png")
    before = len(fits(bench))
    bench.run([member], features=features)
    assert extracted(bench)[25:] == ["im3"]
    assert len(fits(bench)) == before + 2  # the third fold predicts it, by the fit that is there
    bench.run([member], features={"x": features["x"] | {"gain": 2.0}})
    assert len(extracted(bench)) == 26 + 25


def test_damaged_and_missing_products_are_made_again(bench):
    features = {"x": pictures(bench)}
    base = {"name": "base", "features": ["x"], "encoder": bench.linear("base")}
    last = {"name": "last", "features": ["base"], "encoder": "stack"}
    recipe = bench.recipe([base, last], features=features, inner={"folds": 2})
    first = bench.run(recipe)
    rng = np.random.default_rng(0)
    for turn in range(8):
        files = sorted(f for f in bench.store.rglob("*") if f.is_file())
        for file in [files[k] for k in rng.choice(len(files), 6, replace=False)]:
            if not file.exists():
                continue
            data = bytearray(file.read_bytes())
            if turn % 3 == 0 or not data:
                file.unlink()
            elif turn % 3 == 1:
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
                file.write_bytes(data)
            elif file.parents[1].name != "tasks":
                shutil.rmtree(file.parent)
        np.testing.assert_array_equal(values(first), values(bench.run(recipe)))


def test_a_product_that_vanishes_during_a_run_is_made_again(bench):
    base = {"name": "base", "encoder": bench.linear("base")}
    last = {"name": "last", "features": ["base"], "encoder": "stack"}
    recipe = bench.recipe([base, last], inner={"folds": 2})
    first = bench.run(recipe)
    with using(bench.machine()):
        work = Work(Plan(recipe))
        call = work.plan.outer()[0]
        assert work.has(work.plan.tasks(work.plan.recipe.member[0], call.train, call.test)[0])
        shutil.rmtree(bench.store / "tasks")
        found = work.predictions(work.plan.recipe.member[1], call.train, call.test)["s1"]
    wanted = first.predicted["s1"].sel(row=found.row.values)
    np.testing.assert_array_equal(found.values, wanted.values)


OWN = """
from dataclasses import dataclass
import numpy as np, pandas as pd
from striate.data import assemble, row_table, target_table
from striate.interfaces import Encoder, with_learned

@dataclass(frozen=True)
class Constant(Encoder):
    shift: float = 0.0
    def fit(self, features, groups, start=None):
        tables = pd.concat([target_table(b) for g in groups for b in g])
        means = np.concatenate([b.values.mean(axis=0) for g in groups for b in g])
        return with_learned(self, means_=means + self.shift + EXTRA, targets_=tables)
    def predict(self, features, rows):
        values = np.tile(self.means_, (len(rows), 1))
        return assemble(values, row_table(rows), self.targets_)
"""


def test_an_encoder_beside_the_recipe_runs_and_its_code_is_part_of_the_key(bench, monkeypatch):
    home = bench.root / "home"
    home.mkdir()
    plain = bench.recipe([{"name": "m", "encoder": {"use": "./mine.py:Constant"}}])
    (home / "recipe.toml").write_text(plain.toml())
    found = []
    for extra in (0.0, 1.0):
        (home / "mine.py").write_text(OWN.replace("EXTRA", str(extra)))
        recipe = load_recipe(home / "recipe.toml")
        report = run_recipe(recipe, bench.root / "runs", bench.machine())
        found.append(values(report, ids=bench.ids))
    np.testing.assert_allclose(found[1] - found[0], 1.0, atol=1e-9)
    monkeypatch.chdir(bench.root.parent)
    again = run_recipe(load_recipe(report.folder / "recipe.toml"), bench.root, bench.machine())
    np.testing.assert_array_equal(values(again, ids=bench.ids), found[1])


def test_a_stored_world_is_read_back(tmp_path):
    """The plug-ins of these tests do what they say."""
    block = label_responses(np.eye(2), ["a", "b"], subject="s")
    write_world(tmp_path, pd.DataFrame(index=["a", "b"]), {"s": block})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["order.json", "responses", "stimuli.csv"]
