"""The pass over stimuli: batches, items of stimuli, pooling over frames, errors with names."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data import Shown
from striate.errors import DataError, FileError, RecipeError
from striate.machine import Machine, using
from striate.nets.passes import check_time, in_turns, one_pass, over_time

CPU = torch.device("cpu")


def shown(count):
    return [Shown(f"s{k}", f"{k}.png") for k in range(count)]


def passed(values, time="mean", batch=4, **more):
    """A pass that reads the arrays in `values` and doubles them."""
    table = {f"s{k}": np.asarray(v, np.float32) for k, v in enumerate(values)}
    with using(Machine(batch=batch, threads=2, device="cpu", quiet=True)):
        return list(
            one_pass(
                shown(len(values)), lambda s: table[s.id], lambda x: {"a": 2 * x}, time, **more
            )
        )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=12),
    st.integers(1, 7),
    st.integers(1, 4),
    st.sampled_from(["mean", "max"]),
)
def test_items_are_pooled_within_their_stimulus_whatever_the_batch(counts, batch, items, time):
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((n, 3)) for n in counts]
    found = np.concatenate([b["a"] for b in passed(values, time, batch, count=lambda s: items)])
    wanted = [2 * (v.mean(0) if time == "mean" else v.max(0)) for v in values]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_batches_are_a_fixed_number_of_stimuli():
    values = [np.ones((2, 3))] * 7
    sizes = [len(b["a"]) for b in passed(values, batch=8, count=lambda s: 2)]
    assert sizes == [4, 3]
    assert [len(b["a"]) for b in passed(values, batch=8, count=lambda s: 2, cost=4)] == [1] * 7


def test_films_and_images_share_batches_by_their_frames():
    counts = [1, 1, 4, 4, 1, 1, 1, 9, 1]
    values = [np.ones((n, 2)) for n in counts]
    found = passed(values, batch=4, count=lambda s: counts[int(s.id[1:])])
    assert [len(b["a"]) for b in found] == [2, 1, 1, 3, 1, 1]


def test_frames_can_be_kept_as_an_axis():
    values = [np.arange(6.0).reshape(2, 3)] * 3
    (batch,) = passed(values, "keep", batch=8)
    assert batch["a"].shape == (3, 2, 3)
    with pytest.raises(DataError, match=r"have between 1 and 2 frames.*time = \"mean\""):
        passed([np.ones((2, 3)), np.ones((1, 3))], "keep", batch=8)


def test_clips_of_several_shapes_are_computed_apart():
    values = [np.ones((1, 4, 2)), np.ones((1, 6, 2)), np.ones((1, 6, 2))]
    table = {f"s{k}": v.astype(np.float32) for k, v in enumerate(values)}
    with using(Machine(batch=4, threads=1, device="cpu", quiet=True)):
        (batch,) = one_pass(shown(3), lambda s: table[s.id], lambda x: {"sum": x.sum((1, 2))})
    assert batch["sum"].tolist() == [8, 12, 12]


def test_what_cannot_be_joined_is_refused_with_the_names():
    with pytest.raises(DataError, match=r"'s0' to 's1' give features of different shapes \(4, 2\)"):
        passed([np.ones((1, 4, 2)), np.ones((1, 6, 2))])
    with pytest.raises(DataError, match="nothing can be read of stimulus 's1'"):
        passed([np.ones((1, 4)), np.ones((0, 4))])
    with pytest.raises(RecipeError, match=r"unknown pooling over time 'median'"):
        check_time("median")


def test_an_error_while_reading_ends_the_pass():
    def read(stimulus):
        if stimulus.id == "s2":
            raise FileError("2.png: is broken")
        return np.zeros((1, 2), np.float32)

    with using(Machine(batch=2, threads=2, device="cpu", quiet=True)):
        batches = one_pass(shown(4), read, lambda x: {"a": x})
        assert len(next(batches)["a"]) == 2
        with pytest.raises(FileError, match=r"2\.png"):
            next(batches)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_turns_keep_the_order(device):
    # A device that is not the CPU has its batches decoded ahead; reading needs no such device.
    groups = [shown(23)[k : k + 2] for k in range(0, 23, 2)]
    turns = in_turns(groups, lambda s: np.array([int(s.id[1:])]), 3, torch.device(device))
    assert np.concatenate([np.concatenate(t) for t in turns]).tolist() == list(range(23))


def test_pieces_of_a_film_are_read_by_one_thread():
    pieces = [Shown(f"m#{k}", "m.mp4", float(k), 1.0) for k in range(8)]
    threads = []

    def read(stimulus):
        threads.append(threading.get_ident())
        time.sleep(0.005)
        return np.array([float(stimulus.onset)])

    (found,) = in_turns([pieces], read, 4, CPU)
    assert np.concatenate(found).tolist() == list(range(8))
    assert len(set(threads)) == 1


def test_a_long_pass_holds_only_a_few_batches():
    alive, most = [0], [0]

    def read(stimulus):
        alive[0] += 1
        most[0] = max(most[0], alive[0])
        return np.zeros((1, 8), np.float32)

    with using(Machine(batch=4, threads=2, device="cpu", quiet=True)):
        for batch in one_pass(shown(200), read, lambda x: {"a": x}):
            alive[0] -= len(batch["a"])
    assert most[0] <= 16


def test_pooling_over_time_by_hand():
    outputs = [torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0]])]
    assert over_time(outputs, [2, 1], "mean", ["a", "b"]).tolist() == [[2], [5]]
    assert over_time(outputs, [1, 2], "max", ["a", "b"]).tolist() == [[1], [5]]
