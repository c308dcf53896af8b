"""Rows in pieces are the rows, and what is too large to hold is computed when it is read."""

import numpy as np
import pytest
from tests.encoders.pieces import Watched

from striate.data import ArraySpace, Computed, Features
from striate.encoders.rowwise import Rows, changed, rows_of
from striate.encoders.steps import Polynomial, Power, Window
from striate.machine import Machine, using

RNG = np.random.default_rng(0)
IDS = tuple(f"im{k}" for k in range(30))
VIEW = Features(
    {
        "maps": ArraySpace(IDS, RNG.standard_normal((30, 3, 4, 5)).astype(np.float16)),
        "flat": ArraySpace(IDS, RNG.standard_normal((30, 7))),
    },
    IDS,
)


@pytest.mark.parametrize("memory", [1 << 30, 3000])
def test_blocks_are_the_rows(memory):
    with using(Machine(memory=memory, threads=1, quiet=True)):
        for name, rows in rows_of(VIEW).items():
            blocks = list(rows.blocks())
            np.testing.assert_array_equal(np.concatenate(blocks), VIEW.matrix(name))
            assert rows.large == (memory == 3000) == (len(blocks) > 1)
            assert rows.width == blocks[0].shape[1]
        (both,) = rows_of(VIEW, "both").values()
        expected = np.concatenate([VIEW.matrix("maps"), VIEW.matrix("flat")], axis=1)
        np.testing.assert_array_equal(np.concatenate(list(both.blocks())), expected)


@pytest.mark.parametrize("step", [Power(), Window(least=0.3), Polynomial(joint=True)])
def test_steps_on_what_is_too_large_to_hold(step):
    view = Features({"maps": VIEW.spaces["maps"]}, IDS)
    whole = step.fit(view).transform(view)
    with using(Machine(memory=1500, threads=1, quiet=True)):
        out = step.fit(view).transform(view)
    (name,) = out.names
    assert isinstance(out.spaces[name], Computed)
    np.testing.assert_allclose(out[name], whole[name], rtol=1e-6)
    assert out[name].dtype == whole[name].dtype == np.float32
    part = out.rows(IDS[5:2:-1])[name]
    np.testing.assert_allclose(part, whole[name][5:2:-1], rtol=1e-6)


def test_a_small_answer_is_held():
    space = Watched(50, 400)
    view = Features({"x": space}, space.ids)
    rows = rows_of(view)
    with using(Machine(memory=20_000, threads=1, quiet=True)):
        out = changed(view, rows, {"x": lambda x: x[:, :2] * 2})
    assert isinstance(out.spaces["x"], ArraySpace)
    np.testing.assert_allclose(out["x"], 2 * space.read(space.ids)[:, :2])
    assert space.most <= 50 * 400 * 4


def test_nothing_in_view():
    none = VIEW.rows(())
    rows = Rows(none, ("flat",))
    assert (len(rows), rows.width, rows.large, list(rows.blocks())) == (0, 7, False, [])
    assert changed(none, {"flat": rows}, {"flat": np.abs}).names == ()
