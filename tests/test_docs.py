"""What the documents show is run as it stands: CONTRIBUTING's plug-ins, README's code, examples."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.media.made_films import film
from typer.testing import CliRunner

from striate import Machine, load_recipe, run_recipe
from striate.cli import app
from striate.datasets.algonauts2023 import Algonauts2023
from striate.datasets.folder import Folder
from striate.recipe import parse

ROOT = Path(__file__).parents[1]


def blocks(document: str, language: str) -> list[str]:
    """The code of a document in one language, in order."""
    text = (ROOT / document).read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def store(shared_store: Path) -> str:
    """Twins are all alike: what one document has fitted, others read."""
    return str(shared_store)


def call(folder: Path, store: str, *arguments: str) -> str:
    """What a fresh Python prints, working in a folder; its errors fail the test."""
    place = {"STRIATE_STORE": store, "PYTHONWARNINGS": "error::UserWarning"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | place,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_plug_ins_of_contributing_run(tmp_path):
    for language in ("python", "toml"):
        for block in blocks("CONTRIBUTING.md", language):
            name = block.partition("\n")[0].removeprefix("# ")
            (tmp_path / name).write_text(block, "utf-8")
    Folder.twin(tmp_path / "twin")
    study = tmp_path / "study"
    study.mkdir()
    (tmp_path / "twin" / "images").rename(study / "images")
    shown = pd.read_csv(tmp_path / "twin" / "stimuli.csv")
    targets = pd.read_csv(tmp_path / "twin" / "targets.csv")
    for subject, lines in shown.groupby("subject"):
        regions = targets.loc[targets["subject"] == subject, "roi"].to_numpy(str)
        names = lines.sort_values("row")["id"].to_numpy(str)
        values = np.load(tmp_path / "twin" / "responses" / f"{subject}.npy")
        np.savez(study / f"{subject}.npz", images=names, betas=values, roi=regions)
    recipe = load_recipe(tmp_path / "my_study.toml", [f"dataset.path={study}"])
    machine = Machine(store=tmp_path / "store", quiet=True, threads=1)
    report = run_recipe(recipe, tmp_path / "runs", machine)
    late = {
        name: scores["pearson"]["by_roi"]["late"]["median"]
        for name, scores in report.summary["members"].items()
    }
    assert list(late) == ["slope", "ridge@light.grid=2", "ridge@light.grid=3", "stack"]
    assert 0.8 < late["ridge@light.grid=3"] < 0.95  # known: 0.90 and 0.92 with the right model
    assert late["ridge@light.grid=3"] > late["ridge@light.grid=2"] > late["slope"]
    assert late["stack"] > late["ridge@light.grid=2"]


def test_commands_of_the_readme_run(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRIATE_STORE", store)
    film(tmp_path / "clip.mp4")
    (lines,) = [b for b in blocks("README.md", "sh") if "striate twin folder" in b]
    Folder.twin(tmp_path / "other", seed=1)
    new = tmp_path / "new_images"
    new.mkdir()
    for image in sorted((tmp_path / "other" / "images").iterdir())[:3]:
        image.rename(new / image.name)
    printed = []
    for line in lines.splitlines():
        words = shlex.split(line, comments=True)
        if "runs/NAME" in words:
            words[words.index("runs/NAME")] = str(next(Path("runs").iterdir()))
        result = CliRunner().invoke(app, words[1:], catch_exceptions=False)
        assert result.exit_code == 0, f"{line}: {result.output}"
        printed.append(result.output)
    _, checked, planned, ran, looked, predicted, compared, listed = printed
    assert "stack" in compared and "contrast" in compared
    assert "480 images" in checked
    assert "tasks" in planned
    assert "report.html" in ran
    assert "look.png" in looked and Path("look.png").is_file()
    assert "rows" in predicted
    assert "folder/ridge" in listed


def test_commands_for_a_challenge_run(tmp_path, store, monkeypatch):
    """As they stand, with a small copy of the data and an untrained network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRIATE_STORE", store)
    Algonauts2023.twin(Path("data") / "2023", natural=False, subjects=("subj06",))
    (lines,) = [b for b in blocks("README.md", "sh") if "check-submission" in b]
    small = ["features.net.weights=none", "features.net.size=64"]
    small += ["features.net.model=squeezenet1_0", "features.net.nodes=['features.3']"]
    small += ["member.ridge.steps=['zscore']"]
    printed = []
    for line in lines.splitlines():
        words = shlex.split(line, comments=True)
        if "runs/NAME" in words:
            words[words.index("runs/NAME")] = str(next(Path("runs").iterdir()))
        words += small if words[1] == "run" else []
        result = CliRunner().invoke(app, words[1:], catch_exceptions=False)
        assert result.exit_code == 0, f"{line}: {result.output}"
        printed.append(result.output)
    checked, ran, submitted, accepted, exported = printed
    assert "subj06" in checked
    assert "corrected" in ran
    assert any(Path(line).is_file() for line in submitted.splitlines())
    assert "algonauts2023" in accepted
    assert list(Path("maps").iterdir()), exported


def test_code_of_the_readme_runs(tmp_path, store):
    for k, block in enumerate(blocks("README.md", "python")):
        (tmp_path / f"block{k}.py").write_text(block, "utf-8")
        call(tmp_path, store, f"block{k}.py")
    assert list((tmp_path / "runs").glob("*/report.html"))


def test_recipe_of_the_readme_runs(tmp_path):
    table = tomllib.loads(blocks("README.md", "toml")[0])
    Folder.twin(tmp_path / "my_study")
    table["dataset"] |= {"path": str(tmp_path / "my_study"), "response_file": "repeats"}
    machine = Machine(store=tmp_path / "store", quiet=True, threads=1)
    report = run_recipe(parse(table), tmp_path / "runs", machine)
    regions = report.summary["scores"]["pearson"]["by_roi"]
    assert regions["early"]["median"] > 0.7  # known: 0.94 and 0.87 with the right model
    assert abs(regions["late"]["median"]) < 0.2  # luminance, which contrast does not see


def test_film_recipe_of_the_readme_runs(tmp_path):
    (tmp_path / "my_films" / "videos").mkdir(parents=True)
    rng, lines, answers = np.random.default_rng(0), [], []
    for movie in ("ep1", "ep2", "ep3", "ep4", "ep5"):
        loud = rng.random(10)
        noise = rng.standard_normal(10 * 16000).astype(np.float32)
        sound = 0.2 * np.repeat(loud, 16000).astype(np.float32) * noise
        film(
            tmp_path / "my_films" / "videos" / f"{movie}.mp4", 40, 4, (64, 48), sound=sound,
            picture=lambda k: np.full((48, 64, 3), 5 * k, dtype=np.uint8),
        )  # fmt: skip
        lines += [
            {"id": f"{movie}_{k}", "file": f"{movie}.mp4", "movie": movie, "index": k, "onset": k}
            for k in range(10)
        ]
        answers += [[0.0, 0.0], [0.0, 0.0], *np.stack([loud, -loud], axis=1)[:-2]]
    shown = pd.DataFrame(lines).assign(duration=1, text="so they say")
    shown.to_csv(tmp_path / "my_films" / "stimuli.csv", index=False)
    noisy = np.array(answers) + 0.05 * rng.standard_normal((50, 2))
    np.save(tmp_path / "my_films" / "responses.npy", noisy)
    table = tomllib.loads(blocks("README.md", "toml")[1])
    table["dataset"] |= {"path": str(tmp_path / "my_films")}
    machine = Machine(store=tmp_path / "store", quiet=True, threads=1)
    report = run_recipe(parse(table), tmp_path / "runs", machine)
    assert report.summary["scores"]["pearson"]["median"] > 0.4  # how loud it was two chunks before
    assert set(report.machine["features"]) == {"motion", "sound", "words"}


@pytest.mark.parametrize(
    ("example", "shows"),
    [
        ("compare.py", "4 pixels is better than 2 pixels"),
        ("first_encoder.py", "% of the ceiling"),
        ("own_encoder.py", "neighbours"),
        ("own_function.py", "layout"),
        ("rsa_2019.py", "known"),
        ("time_resolved.py", "late features predict best at 300 ms"),
    ],
)
def test_example_runs(example, shows, tmp_path, store):
    printed = call(tmp_path, store, str(ROOT / "examples" / example), str(tmp_path / "out"))
    assert shows in printed
    assert list((tmp_path / "out" / "runs").glob("*/report.html"))
