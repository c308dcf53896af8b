from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from striate.data import Shown, has_truth, row_table
from striate.datasets import made_films
from striate.datasets.algonauts2025 import Algonauts2025
from striate.datasets.algonauts2025 import twin as made
from striate.datasets.check import summary
from striate.errors import DataError, FileError
from striate.extractors.words import rates
from striate.machine import Machine
from striate.media import Frames, read_frames
from striate.recipe import load_recipe
from striate.run import run_recipe


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    place = tmp_path_factory.mktemp("twin") / "algonauts2025"
    return place, Algonauts2025.twin(place)


def test_a_whole_copy_has_nothing_wrong(twin):
    found = list(Algonauts2025(twin[0]).inspect())
    assert {f.kind for f in found} == {"there"} and len(found) == 23
    told = "\n".join(map(str, found))
    assert "stimuli/movies: 20 films" in told and "9 runs" in told


def test_planted_features_are_those_of_what_decodes(twin):
    """Pictures read as any extractor reads them, and words counted as `words` counts them."""
    place, _ = twin
    stimuli = Algonauts2025(place).stimuli()
    ids = pd.read_csv(place / "ids.csv")["id"]
    known = {k: pd.DataFrame(np.load(place / f"features_{k}.npy"), ids) for k in ("late", "words")}
    chosen = [i for i in stimuli.ids if i.startswith("friends_s06e01a")][2:30]
    seen, said = [], []
    for shown in stimuli.select(chosen).shown():
        grey = [np.asarray(f.convert("L"), float) for f in read_frames(shown, Frames(3))]
        cells = [
            c for r in np.array_split(np.mean(grey, axis=0), 3) for c in np.array_split(r, 3, 1)
        ]
        seen.append([c.mean() for c in cells])
        said.append(rates(Shown(shown.id, shown.file, shown.onset, shown.duration, shown.text)))
    for found, kind in ((seen, "late"), (said, "words")):
        for ours, own in zip(np.array(found).T, known[kind].loc[chosen].to_numpy().T, strict=True):
            assert np.corrcoef(ours, own)[0, 1] > 0.98


def test_the_twin_is_small_natural_and_the_same_again(twin, tmp_path):
    place, truth = twin
    files = [f for f in place.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) < 40e6
    films = list(place.glob("stimuli/movies/*/*/*.mkv"))
    assert len(films) == 20 and len(list(place.glob("stimuli/transcripts/*/*/*.tsv"))) == 18
    heard = {f.stem: len(made_films.decoded(f).sound) > 0 for f in films[:6]}
    assert set(heard.values()) == {True, False}
    with pytest.raises(FileError, match="not empty"):
        Algonauts2025.twin(place)
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        made.write(folder, media=False)
    for file in (f for f in one.rglob("*") if f.is_file() and f.suffix != ".gz"):
        assert file.read_bytes() == (two / file.relative_to(one)).read_bytes()
    assert truth["score"].between(0.5, 0.9).all()
    told = "\n".join(summary(Algonauts2025(place)))
    assert "20 films" not in told and "16 films" in told and "0 unreadable" in told


@pytest.mark.slow
@pytest.mark.slow
def test_the_baseline_of_the_challenge_runs(twin, tmp_path):
    """With untrained networks and small images: all tests predicted, both members scored."""
    from striate.nets.repair import repair

    repair()
    import transformers
    from tests.nets.libraries import tiny

    bert = tmp_path / "bert"
    config = transformers.BertConfig(**tiny.OPTIONS["bert"])
    transformers.BertModel(config).save_pretrained(bert)
    tiny.tokenizer(bert, special=True)
    asked = [f"dataset.path={twin[0]}", "dataset.subjects=[1]", "dataset.context=8"]
    asked += [f"features.words.model={bert}", "features.words.weights=default"]
    asked += ["features.film.weights=none", "features.film.size=32", "features.film.frames=4"]
    machine = Machine(store=tmp_path / "store", quiet=True, threads=1)
    report = run_recipe(load_recipe("algonauts2025/kit", asked), tmp_path / "runs", machine)
    found = report.summary["members"]
    assert set(found) == {"published", "by_film"}
    assert all(-0.1 < m["official"]["value"] < 0.6 for m in found.values())
    written = Algonauts2025(twin[0]).write_submission(for_all(report.predicted), tmp_path)
    Algonauts2025(twin[0]).check_submission(written)


@pytest.mark.slow
def test_the_full_twin_has_true_shapes(tmp_path):
    truth = made.write(tmp_path / "full", "full")
    ours = Algonauts2025(tmp_path / "full")
    block = ours.responses()["sub-01"]
    assert block.shape[1] == 1000 and 180_000 < block.shape[0] < 230_000
    table = row_table(block)
    assert table["run"].nunique() == 6 * 48 + 44 + 17 + 48
    small = block.isel(row=np.flatnonzero((table["run"] == "friends_s06e01a").to_numpy()))
    assert has_truth(small).all() and len(truth) == 28
    used = sum(f.stat().st_blocks * 512 for f in (tmp_path / "full").rglob("*") if f.is_file())
    assert used < 1e9


def for_all(predicted):
    """The predictions of one subject, for each of the four."""
    (block,) = predicted.values()
    people = ("sub-01", "sub-02", "sub-03", "sub-05")
    return {s: block.assign_coords(subject=("target", [s] * 1000)) for s in people}


def light(twin, folder, streams):
    """Official scores by member and network of one subject, and the predictions."""
    asked = [f"dataset.path={twin[0]}", "dataset.subjects=[3]", "inner.folds=3"]
    asked += [f"member.stream.sweep={{ features = {streams} }}"]
    machine = Machine(store=folder / "store", quiet=True, threads=1)
    recipe = load_recipe("algonauts2025/sound_words", asked)
    report = run_recipe(recipe, folder / "runs", machine)
    found = {m: v["official"]["by_roi"] for m, v in report.summary["members"].items()}
    truth = twin[1]
    return found, truth[truth["subject"] == "sub-03"].set_index("roi")["score"], report.predicted


def test_the_light_recipe_finds_what_words_drive(twin, tmp_path):
    found, known, predicted = light(twin, tmp_path, '[["words"]]')
    words = found["stream@words"]
    assert known["Default"] - 0.06 < words["Default"] < known["Default"] + 0.02
    assert found["streams"]["Default"] == pytest.approx(words["Default"], abs=0.01)
    assert all(abs(words[n]) < 0.15 for n in ("Vis", "Cont", "SomMot"))
    ours = Algonauts2025(twin[0])
    written = ours.write_submission(for_all(predicted), tmp_path / "out")
    ours.check_submission(written)
    content = np.load(written.with_suffix(".npy"), allow_pickle=True).item()
    assert set(content["sub-03"]) == {"s07e01a", "s07e01b", "s07e02a"}
    with pytest.raises(DataError, match="leave it out"):
        replace(ours, subjects=(3,)).write_submission(predicted, tmp_path / "one")


@pytest.mark.slow
def test_every_stream_finds_its_networks(twin, tmp_path):
    """Features that are not quite the planted ones, and less for it; each only its own."""
    found, known, _ = light(twin, tmp_path, '[["sound"], ["words"], ["seen"], ["contrast"]]')
    for stream, network, least in (
        ("sound", "SomMot", 0.35),
        ("words", "Default", 0.75),
        ("seen", "Cont", 0.6),
        ("contrast", "Vis", 0.4),
    ):
        own = found[f"stream@{stream}"]
        assert least < own[network] < known[network] + 0.02
        others = {"sound": ("Vis", "Cont"), "words": ("Vis", "Cont"), "seen": ("Vis", "Default")}
        assert all(abs(own[n]) < 0.15 for n in others.get(stream, ("Default", "Cont")))
        assert found["streams"][network] > own[network] - 0.05
