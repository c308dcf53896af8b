"""Training sets for new images: all that may be trained on, or those of the folds."""

import pytest

from striate.data import Stimuli
from striate.machine import using
from striate.run import Plan
from striate.run.asked import asked, trains

from .worlds import Bench


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    made.table["part"] = ["train"] * 20 + ["test"] * 4
    made.subject()
    return made


def plan_of(bench, extra, **more):
    recipe = bench.recipe([{"name": "m", "encoder": bench.linear()}], **more)
    with using(bench.machine()):
        return Plan(recipe, extra)


def test_without_new_images_the_split_asks(bench):
    plan = plan_of(bench, None)
    assert [t.key for t in asked(plan)] == [t.key for t in plan.wanted()]


@pytest.mark.parametrize("final", ["refit", "mean of folds"])
def test_new_images_are_predicted_by_the_answer(bench, final):
    extra = Stimuli.from_files(["n0.png"], ["new/n0"])
    plan = plan_of(bench, extra, final=final)
    sets = trains(plan)
    assert len(sets) == (1 if final == "refit" else 3)
    assert all(set(s) <= set(bench.ids[:20]) for s in sets)
    assert [(t.train, t.rows) for t in asked(plan)] == [(s, ("new/n0",)) for s in sets]
