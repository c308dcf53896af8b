"""The bounded memory of decoded things."""

import os
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.media.remembered import Remembered


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 40)), max_size=40))
def test_it_holds_no_more_than_its_limit_and_always_answers_right(asked):
    memory = Remembered(64)
    sizes = {}
    for key, size in asked:
        size = sizes.setdefault(key, size)
        value = memory.get(key, lambda k=key, s=size: np.full(s, k, np.uint8))
        assert (value == key).all()
        assert memory.bytes == sum(v.nbytes for v in memory._values.values()) <= 64


def test_the_latest_stay():
    memory, made = Remembered(2), []

    def ask(key):
        return memory.get(key, lambda: made.append(key) or np.zeros(1, np.uint8))

    for key in "abacaba":
        ask(key)
    assert made == ["a", "b", "c", "b"]


def test_two_threads_make_a_value_once():
    memory, made = Remembered(100), []

    def make():
        made.append(1)
        time.sleep(0.05)
        return np.zeros(1)

    threads = [threading.Thread(target=memory.get, args=("k", make)) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(made) == 1


def test_errors_are_not_remembered():
    memory = Remembered(10)
    with pytest.raises(ValueError, match="no"):
        memory.get("k", lambda: (_ for _ in ()).throw(ValueError("no")))
    assert memory.get("k", lambda: np.ones(1))[0] == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_is_not_stuck_with_a_lock_of_its_parent():
    memory = Remembered(100)
    memory._lock.acquire()
    child = os.fork()
    if child == 0:
        os._exit(0 if memory.get("k", lambda: np.ones(1))[0] == 1 else 1)
    memory._lock.release()
    assert os.waitpid(child, 0)[1] == 0
