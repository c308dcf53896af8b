"""What a user can do wrong ends in one sentence, before anything is fitted or written."""

from __future__ import annotations

import numpy as np
import pytest

from striate.errors import StriateError
from striate.machine import using
from striate.run import describe_plan

from .parts import noted
from .worlds import PARTS, Bench


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.subject(rois={"V1": [True, True, False, False]})
    return made


MISTAKES = {
    "encoder": ({"encoder": "rigde"}, {}, "ridge"),
    "field": ({"encoder": {"use": "ridge", "fold": 3}}, {}, "folds"),
    "value": ({"encoder": {"use": "ridge", "folds": "many"}}, {}, "many"),
    "step": ({"steps": ["zscor"]}, {}, "zscore"),
    "space": ({"features": ["x.z"]}, {}, "x.a"),
    "later member": ({"features": ["later"]}, {}, "later"),
    "label": ({"per": ["hemi"]}, {}, "hemi"),
    "region": ({"per": ["roi"], "groups": {"g": ["V7"]}}, {}, "V7"),
    "folds": ({}, {"split": {"use": "kfold", "folds": 99}}, "99"),
    "split": ({}, {"split": "parts"}, "kfold"),
    "score": ({}, {"scores": ["pearsson"]}, "pearson"),
    "subject": ({}, {"responses": {"keep": {"subject": ["s9"]}}}, "s1"),
    "dataset": ({}, {"dataset": {"use": "foldr"}}, "folder"),
    "file": ({}, {"features": {"x": {"use": "array", "path": "nowhere.npz"}}}, "nowhere.npz"),
    "session": ({}, {"responses": {"zscore": "session"}}, "session"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_sentence_and_nothing_written(bench, mistake):
    member, more, match = MISTAKES[mistake]
    line = {"name": "m", "encoder": bench.linear()} | member
    with pytest.raises(StriateError, match=match) as error:
        bench.run([line], **more)
    assert "\n" not in str(error.value)
    assert not (bench.root / "runs").exists()
    assert not noted(bench.log)


def test_missing_features_and_failing_encoders_write_nothing_either(bench):
    np.savez(bench.root / "x.npz", ids=np.array(bench.ids[:20]), a=bench.x[:20])
    with pytest.raises(StriateError, match="im2"):
        bench.run([{"name": "m", "encoder": bench.linear()}])
    assert not (bench.root / "runs").exists()


def test_a_target_that_is_predicted_on_some_rows_only_is_counted(bench):
    (bench.root / "own.py").write_text(
        f"import sys, dataclasses\nsys.path.insert(0, {str(PARTS.parents[1])!r})\n"
        "from dataclasses import dataclass\n"
        "from run.parts import Linear\n"
        "@dataclass(frozen=True)\n"
        "class Gaps(Linear):\n"
        "    def predict(self, features, rows):\n"
        "        block = super().predict(features, rows)\n"
        "        block.values[0, 1] = float('nan')\n"
        "        return block\n"
    )
    own = {"use": f"{bench.root}/own.py:Gaps"}
    with pytest.raises(StriateError, match="lacks 3 predictions"):
        bench.run([{"name": "m", "encoder": own}])
    assert not (bench.root / "runs").exists()


def test_an_invented_target_is_refused_where_units_are_undone(bench):
    (bench.root / "own.py").write_text(
        f"import sys\nsys.path.insert(0, {str(PARTS.parents[1])!r})\n"
        "from dataclasses import dataclass\n"
        "from run.parts import Linear\n"
        "@dataclass(frozen=True)\n"
        "class More(Linear):\n"
        "    def predict(self, features, rows):\n"
        "        block = super().predict(features, rows)\n"
        "        return block.assign_coords(target=[f'u{k}' for k in range(4)])\n"
    )
    own = {"use": f"{bench.root}/own.py:More"}
    with pytest.raises(StriateError, match="'u0'"):
        bench.run([{"name": "m", "encoder": own}], responses={"zscore": "train"})


def test_a_plan_in_words(bench):
    recipe = bench.recipe([{"name": "m", "encoder": bench.linear()}], final="mean of folds")
    with using(bench.machine()):
        text = describe_plan(recipe)
    assert "m: 3 fits of 4 targets each" in text
    assert "call      fold0: fit 16, predict 8" in text
    assert not noted(bench.log)


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ({"use": "weighted", "weights": {"nobody": 1.0}}, "unknown member in weights 'nobody'"),
        ({"use": "weighted", "weights": {"one": 1.0}}, "member 'two' has no weight"),
        ({"use": "weighted", "weights": {"V9": {"one": 0.5, "two": 0.5}}}, "weights 'V9'"),
        ({"use": "top", "k": 3}, "k = 3 of 2 members (one, two)"),
    ],
)
def test_mixes_that_do_not_fit_their_members_are_refused_by_the_plan(bench, encoder, told):
    both = [{"name": n, "encoder": bench.linear(n)} for n in ("one", "two")]
    mix = {"name": "mix", "features": ["one", "two"], "encoder": encoder}
    with using(bench.machine()), pytest.raises(StriateError) as error:
        describe_plan(bench.recipe([*both, mix]))
    assert told in str(error.value)
