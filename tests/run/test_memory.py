"""A run with less memory than its features take predicts the same."""

from __future__ import annotations

import numpy as np

from striate.data import Computed
from striate.encoders import reduce, rowwise

from .worlds import Bench, values


def test_steps_on_features_ten_times_as_large_as_memory(tmp_path, monkeypatch):
    steps = ["zscore", {"use": "pca", "components": 3}, "zscore"]
    seen = []

    def watched(*args, **options):
        seen.append((options["memory"], args[1] * args[2] * options["itemsize"]))
        return streamed(*args, **options)

    streamed = reduce.streamed_components
    monkeypatch.setattr(reduce, "streamed_components", watched)
    made = []
    monkeypatch.setattr(rowwise, "Computed", lambda *a: made.append(a) or Computed(*a))
    found = {}
    for memory in (1 << 30, 60_000):
        bench = Bench(tmp_path / str(memory), stimuli=3000, width=30)
        bench.subject()
        recipe = bench.recipe([{"name": "m", "steps": steps, "encoder": bench.linear()}])
        monkeypatch.setattr(bench, "machine", with_memory(bench, memory))
        found[memory] = values(bench.run(recipe))
        assert bool(seen) == bool(made) == (memory == 60_000)
    assert all(most == 60_000 and size > 7 * most for most, size in seen)
    whole, pieces = found.values()
    np.testing.assert_allclose(pieces, whole, rtol=1e-5, atol=1e-6)
    assert whole.std() > 0.3


def with_memory(bench, memory):
    usual = bench.machine
    return lambda **more: usual(memory=memory, **more)
