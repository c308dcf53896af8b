"""The recipe of film streams on films whose motion and sound are known, and on damaged ones."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from media.made_films import film, tone
from striate.errors import FileError
from striate.machine import Machine
from striate.recipe import load_recipe
from striate.run import run_recipe

COUNT, SIZE, RATE, FRAMES = 60, 48, 12, 12


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Films of a texture that drifts, with a tone; targets follow the drift or the pitch."""
    root = tmp_path_factory.mktemp("films") / "study"
    (root / "clips").mkdir(parents=True)
    rng = np.random.default_rng(0)
    drift, pitch = rng.uniform(-2, 2, (COUNT, 2)), rng.uniform(300, 3000, COUNT)
    for k in range(COUNT):
        texture = gaussian_filter(rng.standard_normal((128, 128)), 2, mode="wrap")
        texture = (255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)

        def picture(t, k=k, texture=texture):
            way = np.rint(drift[k] * t).astype(int)
            moved = np.roll(texture, tuple(way[::-1]), (0, 1))[:SIZE, :SIZE]
            return np.repeat(moved[..., None], 3, axis=2)

        film(
            root / "clips" / f"clip{k}.mp4",
            frames=FRAMES,
            rate=RATE,
            size=(SIZE, SIZE),
            picture=picture,
            sound=tone(FRAMES / RATE, 16000, pitch[k])[0],
        )
    moved = np.stack([drift[:, 0], drift[:, 1]] * 3, axis=1)
    heard = np.stack([np.log(pitch)] * 4, axis=1)
    clean = np.concatenate([moved, heard], axis=1)
    clean = (clean - clean.mean(0)) / clean.std(0)
    noisy = clean + 0.3 * rng.standard_normal(clean.shape)
    np.save(root / "responses.npy", noisy)
    roi = ["MT"] * moved.shape[1] + ["A1"] * heard.shape[1]
    pd.DataFrame({"roi": roi}).to_csv(root / "targets.csv", index=False)
    return root


SMALL = [
    "features.rgb.weights=none",
    "features.rgb.size=32",
    "features.rgb.frames=2",
    "features.flow.size=48",
    "features.motion.size=48",
    "features.motion.frequencies=[2.0, 4.0, 8.0]",
    "features.edges.size=32",
    "features.edges.frames=2",
    "split.folds=3",
    "inner.folds=2",
    "near_duplicates=ignore",
]


def test_each_stream_predicts_what_it_sees(study, tmp_path):
    machine = Machine(store=tmp_path / "store", quiet=True, threads=1)
    recipe = load_recipe("folder/films", [f"dataset.path={study}", *SMALL])
    report = run_recipe(recipe, tmp_path, machine)
    table = report.scores[report.scores["score"] == "pearson"]
    found = table.groupby(["member", "roi"])["value"].median()
    most = 1 / np.sqrt(1 + 0.3**2)
    for stream, region, other in (("flow", "MT", "A1"), ("sound", "A1", "MT")):
        assert 0.75 < found[f"stream@{stream}", region] < most + 0.03
        assert abs(found[f"stream@{stream}", other]) < 0.35
    assert found["stream@motion", "MT"] > 0.5 > found["stream@rgb", "MT"]
    for region in ("MT", "A1"):
        assert found["streams", region] > 0.75
    features = json.loads((report.folder / "machine.json").read_text())["features"]
    assert {n: features[n]["extracted"] for n in features} == dict.fromkeys(recipe.features, COUNT)


def test_a_film_that_was_cut_off_stops_the_run_or_is_left_out(study, tmp_path):
    broken = tmp_path / "study"
    (broken / "clips").mkdir(parents=True)
    for file in study.rglob("*.*"):
        content = file.read_bytes()
        cut = len(content) // 2 if file.stem == "clip7" else None
        (broken / file.relative_to(study)).write_bytes(content[:cut])
    machine = Machine(store=tmp_path / "store", quiet=True, threads=1)
    lines = [
        f"dataset.path={broken}",
        *SMALL,
        "member.stream.sweep={features = [['sound'], ['edges']]}",
    ]
    with pytest.raises(FileError, match=r"clip7\.mp4"):
        run_recipe(load_recipe("folder/films", lines), tmp_path, machine)
    report = run_recipe(load_recipe("folder/films", [*lines, "on_error=skip"]), tmp_path, machine)
    (left,) = report.summary["left_out"]["stimuli"]
    assert left["stimulus"] == "clip7" and "clip7.mp4" in left["error"]
    assert report.summary["left_out"]["rows"] == {"subject": 1}
    for told in (report.in_words(), (report.folder / "report.html").read_text()):
        assert "clip7" in told
    assert len(report.truth["subject"]) == COUNT - 1
