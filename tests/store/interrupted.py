"""Fill a store in child processes that are killed, and print what is left, as JSON.

Run as a program, so that children are forked from a small process with one thread.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from toy import KEY, Toy, row_of, snapshot, stimuli_of

from striate.data import label_responses
from striate.machine import Machine, using
from striate.store import Products, stored_spaces

CHANGES = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}


def fill(store: Path, count: int, batch: int, width: int, pause: float) -> None:
    stimuli = stimuli_of(count)
    toy = Toy(batch=batch, width=width, pause=pause)
    with using(Machine(quiet=True, batch=batch)):
        spaces = stored_spaces(store, "toy", toy, KEY, stimuli)
        rows = spaces["toy.low"].read(stimuli.ids)
    wanted = [row_of(d, width) for d in stimuli.table["digest"]]
    assert np.array_equal(rows, np.stack(wanted))


def product(store: Path, targets: int) -> None:
    values = np.random.default_rng(0).standard_normal((40, targets))
    block = label_responses(values, [f"s{i}" for i in range(40)], subject="s1")
    products = Products(store)
    products.save(KEY, "rows1", {"s1": block}, {"coef": values.T, "alpha": 0.1}, {"seconds": 1.5})
    loaded = products.load_predictions(KEY, "rows1")
    assert loaded is not None and loaded["s1"].identical(block)
    assert np.array_equal(products.load_state(KEY)["coef"], values.T)


def start(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return pid


def end(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def at_random(work: Callable[[], None], seed: int, longest: float) -> dict:
    """Kill at twenty random moments, resume each time, then let it finish."""
    chance, kills = random.Random(seed), 0
    for _ in range(20):
        pid = start(work)
        time.sleep(chance.uniform(0, longest))
        os.kill(pid, signal.SIGKILL)
        kills += end(pid) == -signal.SIGKILL
    return {"kills": kills, "codes": [end(start(work))]}


def at_each_change(work: Callable[[], None], store: Path, wipe: Callable[[], None]) -> dict:
    """Kill before every single change of a file, each time from nothing, and resume once."""
    kills, wrong = 0, []
    wipe()
    codes = [end(start(work))]
    wanted = snapshot(store)
    while True:
        moment = kills + 1

        def doomed(moment: int = moment) -> None:
            seen = 0

            def hook(event: str, args: tuple) -> None:
                nonlocal seen
                reads = event == "open" and str(args[1]).startswith("r")
                if event in CHANGES and str(args[0]).startswith(str(store)) and not reads:
                    seen += 1
                    if seen == moment:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(hook)
            work()

        wipe()
        code = end(start(doomed))
        if code != -signal.SIGKILL:
            return {"kills": kills, "codes": [*codes, code], "wrong": wrong}
        kills += 1
        codes.append(end(start(work)))
        if snapshot(store) != wanted:
            wrong.append(moment)


def together(works: list[Callable[[], None]]) -> dict:
    """Run several at once."""
    return {"codes": [end(pid) for pid in [start(w) for w in works]]}


def main(what: str, folder: str) -> None:
    with tempfile.TemporaryDirectory() as warm:  # so that no child imports anything
        product(Path(warm), 3)
        fill(Path(warm), count=3, batch=2, width=6, pause=0)
    store = Path(folder) / "store"
    plain = Path(folder) / "plain"

    def wipe() -> None:
        shutil.rmtree(store, ignore_errors=True)

    def long(where: Path) -> Callable[[], None]:
        return lambda: fill(where, count=600, batch=5, width=4000, pause=0.005)

    def short() -> None:
        fill(store, count=10, batch=4, width=6, pause=0)

    if what == "rows-random":
        out = at_random(long(store), seed=1, longest=0.05)
        out["codes"].append(end(start(long(plain))))
    elif what == "rows-each":
        out = at_each_change(short, store, wipe)
    elif what == "products-random":
        out = at_random(lambda: product(store, 5000), seed=2, longest=0.03)
        out["codes"].append(end(start(lambda: product(plain, 5000))))
    elif what == "products-each":
        out = at_each_change(lambda: product(store, 3), store, wipe)
    elif what == "two":
        out = together([lambda: fill(store, 120, 5, 200, 0.002)] * 2)
        out["codes"].append(end(start(lambda: fill(plain, 120, 5, 200, 0))))
    elif what == "two-batches":
        out = together([lambda b=b: fill(store, 120, b, 200, 0.002) for b in (5, 7, 16)])
        out["codes"].append(end(start(lambda: fill(store, 120, 5, 200, 0))))
    out["temporary"] = [n for n in snapshot(Path(folder)) if ".tmp-" in n]
    if plain.exists():
        one, two = snapshot(store), snapshot(plain)
        out["files"] = len(one)
        out["wrong"] = sorted(n for n in {*one, *two} if one.get(n) != two.get(n))
    out["digest"] = hashlib.sha256(repr(sorted(snapshot(store).items())).encode()).hexdigest()
    print(json.dumps(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
