"""Workers plan the recipe themselves: new images, groups and left-out stimuli reach them too."""

from __future__ import annotations

import numpy as np
import pytest

from striate.data import Stimuli
from striate.errors import StriateError
from striate.machine import using
from striate.run import Plan
from striate.run.asked import asked
from striate.run.fresh import predict_images
from striate.run.remote import Fit, Shard, Source, fill_remotely, fit_remotely

from .parts import noted
from .test_fresh import bench, colours, recipe

__all__ = ["bench"]


def test_new_images_on_workers_equal_those_here(bench, tmp_path):
    pytest.importorskip("distributed")
    bench.subject()
    colours(tmp_path / "new", ["n0", "n1"], seed=1)
    files = [str(tmp_path / "new" / f"n{k}.png") for k in range(2)]
    own = recipe(bench)
    there = predict_images(own, files, bench.machine(scheduler="processes:2"))["s1"]
    here = predict_images(own, files, bench.machine(store=tmp_path / "other"))["s1"]
    np.testing.assert_array_equal(there.values, here.sel(row=there.row.values).values)


def test_a_source_makes_the_same_plan_again(bench, tmp_path):
    bench.subject()
    colours(tmp_path / "new", ["n0"], seed=1)
    extra = Stimuli.from_files([tmp_path / "new" / "n0.png"], ["new/n0"])
    machine = bench.machine()
    with using(machine):
        plan = Plan(recipe(bench), extra, ["im4"])
        plan.regroup([("im0", "im1")])
        tasks, source = asked(plan), Source.of(plan)
        task = tasks[0].needs[0]
        shard = Shard(source, machine, "x", 0, 1, skip=False)
        seconds, broken = fill_remotely(shard)
        assert seconds > 0 and broken == {}
        assert fill_remotely(shard) == (0, {})
    job = Fit(source, plan.pairs, False, machine, task.key, task.rows_key)
    assert fit_remotely(job)[0] == task.key
    seen = [set(line["fit"]) for line in noted(bench.log) if "fit" in line]
    assert seen == [set(bench.ids) - {"im4"}]
    with pytest.raises(StriateError, match="same data"):
        fit_remotely(Fit(source, plan.pairs, False, machine, "no key", task.rows_key))
