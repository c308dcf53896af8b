"""The command line as a user types it: verbs, overrides, and mistakes in one sentence."""

import contextlib
import io
import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.cli import main
from striate.errors import StriateError

RECIPE = """
title = "Pixels"
split = {{ use = "kfold", folds = 3 }}
[dataset]
use = "folder"
path = "{path}"
[features]
pixels = {{ use = "pixels", size = 4, colour = "gray" }}
[[member]]
name = "ridge"
features = ["pixels"]
steps = ["zscore"]
encoder = {{ use = "ridge", folds = 3 }}
"""


def striate(
    *words: object, folder: Path | None = None, fresh: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the command line here, or in a Python of its own, which takes seconds to start."""
    if not fresh:
        return here(*map(str, words), folder=folder)
    return subprocess.run(
        [sys.executable, "-m", "striate.cli", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=200,
        check=False,
    )


def here(*words: str, folder: Path | None) -> subprocess.CompletedProcess[str]:
    told, wrong, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(folder or Path.cwd()),
        contextlib.redirect_stdout(told),
        contextlib.redirect_stderr(wrong),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["striate", *words])
        patch.setattr(warnings, "formatwarning", warnings.formatwarning)
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
    return subprocess.CompletedProcess(words, code, told.getvalue(), wrong.getvalue())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, responses and a recipe."""
    root = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    (root / "data" / "images").mkdir(parents=True)
    light = rng.integers(0, 255, (24, 4, 4, 3), dtype=np.uint8)
    for k, pixels in enumerate(light):
        image = Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST)
        image.save(root / "data" / "images" / f"im{k}.png")
    signal = light.mean(axis=3).reshape(24, -1) @ rng.normal(size=(16, 5))
    np.save(root / "data" / "responses.npy", signal)
    (root / "pixels.toml").write_text(RECIPE.format(path=root / "data"))
    done = striate(
        "run", "pixels.toml", "--out", "runs", "--store", "store", folder=root, fresh=True
    )
    assert done.returncode == 0, done.stderr
    return root


def newest(root: Path) -> Path:
    return sorted((root / "runs").iterdir())[-1]


def test_a_run_leaves_a_folder_that_explains_itself(place):
    run = newest(place)
    names = {p.name for p in run.iterdir()}
    assert {"recipe.toml", "summary.json", "machine.json", "scores.csv", "report.html"} <= names
    summary = json.loads((run / "summary.json").read_text())
    assert summary["scores"]["pearson"]["targets"] == 5
    assert json.loads((run / "machine.json").read_text())["peak_memory_bytes"] > 1e6


def test_show_tells_a_run_and_a_recipe(place):
    run = newest(place)
    assert "pearson" in striate("show", run).stdout
    assert 'use = "ridge"' in striate("show", "folder/ridge").stdout
    assert "folds = 7" in striate("show", "folder/ridge", "inner.folds=7").stdout


def test_predict_answers_for_new_images(place):
    run = newest(place)
    new = place / "new"
    new.mkdir(exist_ok=True)
    for k in (3, 7):
        Image.open(place / "data" / "images" / f"im{k}.png").save(new / f"copy{k}.png")
    done = striate("predict", run, "--images", new, "--store", place / "store")
    assert done.returncode == 0, done.stderr
    table = np.genfromtxt(run / "predicted" / "subject.csv", delimiter=",", skip_header=1)[:, 1:]
    measured = np.load(place / "data" / "responses.npy")
    assert np.corrcoef(table.ravel(), measured[[3, 7]].ravel())[0, 1] > 0.9


def test_compare_tells_two_runs_apart(place):
    changes = ["features.pixels.size=1", "near_duplicates=ignore"]
    options = ["--out", "more", "--store", "store", "--quiet"]
    done = striate("run", "pixels.toml", *changes, *options, folder=place)
    assert done.returncode == 0, done.stderr
    coarse = place / done.stdout.strip()
    done = striate("compare", newest(place), coarse, "--out", place / "c", "--draws", 200)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    best = next(k for k, line in enumerate(lines) if newest(place).name in line)
    assert best < next(k for k, line in enumerate(lines) if coarse.name in line)
    assert "Differences" in done.stdout
    assert (place / "c" / "comparison.html").is_file()
    done = striate("compare", newest(place), "--quiet")
    assert done.returncode == 2
    assert "--members all" in done.stderr


def test_submit_says_that_a_folder_has_no_submission(place):
    done = striate("submit", newest(place))
    assert done.returncode == 2
    assert "no submission format" in done.stderr


def test_dry_run_does_nothing(place):
    before = sorted(p.name for p in (place / "runs").iterdir())
    done = striate("run", "pixels.toml", "--dry-run", "--store", "store2", folder=place)
    assert done.returncode == 0, done.stderr
    for word in ("tasks", "rows", "targets", "MB", "disk"):
        assert word in done.stdout
    assert sorted(p.name for p in (place / "runs").iterdir()) == before


def test_dry_run_prints_the_script_that_asks_a_queue(place):
    pytest.importorskip("dask_jobqueue")
    (place / "queue.toml").write_text('queue = "gpu"\ncores = 4\nmemory = "8GB"\njobs = 2\n')
    words = ("--dry-run", "--store", "store2", "--scheduler", "slurm:queue.toml")
    done = striate("run", "pixels.toml", *words, folder=place)
    assert done.returncode == 0, done.stderr
    assert "#SBATCH -p gpu" in done.stdout and "tasks" in done.stdout
    done = striate("run", "pixels.toml", *words[:-1], "slurm:nowhere.toml", folder=place)
    assert done.returncode == 2 and "nowhere.toml cannot be read" in done.stderr


def test_processes_leave_out_what_is_broken(place):
    pytest.importorskip("distributed")
    data = place / "holed" / "images"
    data.mkdir(parents=True)
    for file in (place / "data" / "images").iterdir():
        whole = file.read_bytes()
        (data / file.name).write_bytes(whole[: len(whole) // (2 if file.stem == "im5" else 1)])
    np.save(data.parent / "responses.npy", np.load(place / "data" / "responses.npy"))
    words = ["run", "pixels.toml", f"dataset.path={data.parent}", "--out", "holed/runs"]
    words += ["--store", "holed/store", "--scheduler", "processes:2", "--batch", "0"]
    done = striate(*words, folder=place)
    assert done.returncode == 2
    assert "im5.png" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    done = striate(*words, "on_error=skip", folder=place)
    assert done.returncode == 0, done.stderr
    assert "left out        im5 (1 in all, with 1 rows)" in done.stdout
    (run,) = (place / "holed" / "runs").iterdir()
    told = json.loads((run / "summary.json").read_text())["left_out"]
    assert told["rows"] == {"subject": 1} and told["stimuli"][0]["file"].endswith("im5.png")
    assert "im5.png" in (run / "report.html").read_text()
    machine = json.loads((run / "machine.json").read_text())
    assert machine["features"]["pixels"]["extracted"] == 23


def test_memory_is_told_in_gigabytes(monkeypatch):
    from striate.cli.options import machine_of

    assert machine_of(None, "cpu", 16, 1, "", True, 0.5).memory == 1 << 29
    assert machine_of(None, "cpu", 16, 1, "", True).memory == 2 << 30
    with pytest.raises(StriateError, match="must be positive"):
        machine_of(None, "cpu", 16, 1, "", True, -1.0)


def test_list_names_what_there_is():
    done = striate("list").stdout
    for name in ("folder/ridge", "algonauts2019", "mobilenet", "ridge", "zscore", "kfold"):
        assert (name in done) == (name != "mobilenet")


def test_check_and_nodes(place):
    done = striate("check", "folder", f"path={place / 'data'}")
    assert "24" in done.stdout and done.returncode == 0
    done = striate("nodes", "torchvision:squeezenet1_0", "--size", "64")
    assert "features.12" in done.stdout


def test_look_draws_what_features_see_of_one_file(place):
    image = place / "data" / "images" / "im3.png"
    done = striate("look", image, "features.pixels.size=2", "--recipe", "pixels.toml", folder=place)
    assert done.returncode == 0, done.stderr
    assert "what pixels see" in done.stdout
    with Image.open(place / "look.png") as drawn:
        assert min(drawn.size) > 128
    assert "sees_pixels.png" in {p.name for p in (newest(place) / "figures").iterdir()}
    assert 'id="looks"' in (newest(place) / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "folder/rigde"], "did you mean 'folder/ridge'"),
        (["run", "pixels.toml", "split.fold=4"], "did you mean 'folds'"),
        (["run", "pixels.toml", "member.rige.encoder.folds=4"], "did you mean 'ridge'"),
        (["run", "pixels.toml", "colour=4"], "unknown key 'colour'"),
        (["run", "pixels.toml", "dataset.path=nowhere"], "nowhere"),
        (["run", "pixels.toml", "dataset.axes=target,stimulus"], "5"),
        (["run", "pixels.toml", "nonsense"], "key=value"),
        (["run", "nowhere.toml"], "nowhere.toml"),
        (["list", "encoder"], "did you mean 'encoders'"),
        (["show", "data"], "no run"),
        (["show", "data", "inner.folds=7"], "whose fields cannot be set"),
        (["nodes", "squeezenet1_0"], "FAMILY:MODEL"),
        (["twin", "folder", "--out", "t", "--size", "huge"], "tiny or full"),
        (["look", "nowhere.png", "--recipe", "pixels.toml"], "nowhere.png: there is no such file"),
        (["look", "pixels.toml", "--recipe", "pixels.toml"], "none of the features has a picture"),
        (["look", "x.png", "--out", "never/x.jpg"], "ends in .png"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(place, words, told):
    more = ["--out", "never", "--store", "store"] if words[0] == "run" else []
    done = striate(*words, *more, folder=place)
    assert done.returncode == 2, done.stdout + done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (place / "never").exists()
    assert not (place / "t").exists()
