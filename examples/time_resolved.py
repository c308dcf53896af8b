"""Responses that unfold in time: made-up MEG, and when each of two feature spaces predicts it.

python examples/time_resolved.py [FOLDER]

A recording is an array (stimulus, sensor, sample), here 30 sensors and 40 samples from -0.1 s on;
`axes` says so, and `times` labels the samples in seconds. Each sensor at each sample is a target
with a label `time`, so that scores, ceilings and figures come out per time. Of your own recording
you need that array and `stimuli.csv`; images may lie in `images/`.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from striate import Machine, Recipe, run_recipe

TRAIN, TEST, SENSORS, SAMPLES = 400, 200, 30, 40
START, STEP = -0.1, 0.02


def record(folder: Path, seed: int = 0) -> pd.DataFrame:
    """Write a made-up recording and return what is reachable: r of each space, by time."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    times = np.round(START + STEP * np.arange(SAMPLES), 9)
    ids = [f"image{k + 1}" for k in range(TRAIN + TEST)]
    values = rng.standard_normal((TRAIN + TEST, SENSORS, SAMPLES))
    known = pd.DataFrame({"time": times})
    strengths = {}
    for name, peak, width in (("early", 0.12, 0.04), ("late", 0.3, 0.1)):
        strengths[name] = np.where(times > 0, 1.5 * np.exp(-(((times - peak) / width) ** 2)), 0)
    for name, strength in strengths.items():
        features = rng.standard_normal((TRAIN + TEST, 6))
        np.save(folder / f"{name}.npy", features.astype("float32"))
        weights = rng.standard_normal((6, SENSORS))
        signal = features @ (weights / np.linalg.norm(weights, axis=0))
        values += signal[:, :, None] * strength
        # Signals and noise have variances strength ** 2 and 1.
        known[name] = strength / np.sqrt(1 + sum(s**2 for s in strengths.values()))
    part = ["train"] * TRAIN + ["test"] * TEST
    pd.DataFrame({"id": ids, "part": part}).to_csv(folder / "stimuli.csv", index=False)
    np.save(folder / "responses.npy", values.astype("float32"))
    known.to_csv(folder / "known.csv", index=False)
    return known


def main(folder: Path) -> None:
    """Predict every sensor at every sample from the two spaces, each by itself."""
    data = folder / "data"
    known = record(data)
    space = {"use": "array", "ids": str(data / "stimuli.csv")}
    ridge = {"use": "ridge", "alphas": [1, 10, 100, 1000]}
    recipe = Recipe(
        title="When early and late features predict MEG",
        dataset={
            "use": "folder",
            "path": str(data),
            "axes": ["stimulus", "target", "time"],
            "times": [START, STEP],
        },
        scores=["pearson"],
        features={n: space | {"path": str(data / f"{n}.npy")} for n in ("early", "late")},
        member=[{"name": n, "features": [n], "encoder": ridge} for n in ("early", "late")],
    )
    report = run_recipe(recipe, folder / "runs", Machine(store=folder / "store"))
    found = report.scores.pivot_table("value", "time", "member")
    print("mean r over sensors, found (and known)")
    print(f"{'ms':>6s}{'early':>16s}{'late':>16s}")
    for k in range(0, SAMPLES, 3):
        line, want = found.iloc[k], known.iloc[k]
        told = [f"{line[n]:8.3f} ({want[n]:.3f})" for n in ("early", "late")]
        print(f"{1000 * found.index[k]:6.0f}" + "".join(f"{t:>16s}" for t in told))
    for name in ("early", "late"):
        print(f"{name} features predict best at {1000 * found[name].idxmax():.0f} ms")
    print(f"report: {report.folder}/report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))
