import shutil
from dataclasses import replace

import numpy as np
import pytest

from striate.data import ArraySpace, Features, Order, design, row_table
from striate.datasets.algonauts2025 import Algonauts2025
from striate.datasets.algonauts2025 import twin as made
from striate.datasets.algonauts2025.films import chunk_count, film_file, seconds_of
from striate.datasets.algonauts2025.runs import Movie
from striate.encoders.timing import Context
from striate.media.files import digests
from striate.recipe import load_recipe
from striate.registry import build

VISUAL = Context(before=4, delay=3, edge="shift", reduce="flatten")
LANGUAGE = Context(before=0, delay=3, edge="shift")


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """A tree without films, its truth."""
    place = tmp_path_factory.mktemp("twin") / "algonauts2025"
    return place, made.write(place, media=False)


@pytest.fixture
def tree(twin, tmp_path):
    """A copy to be changed."""
    return shutil.copytree(twin[0], tmp_path / "tree")


def windows(ours, step):
    """Indices of the chunks that a step shows for each row of subject 1, oldest first."""
    stimuli = ours.stimuli()
    index = stimuli.table["index"].to_numpy(dtype=np.float32)[:, None]
    space = ArraySpace(stimuli.ids, index)
    seen = Features({"x": space}, stimuli.ids, order=Order.of(stimuli))
    block = ours.responses()["sub-01"]
    shown = step.fit(seen).transform(seen.rows(block.stimulus.values.tolist()))["x"]
    lines = zip(block.run.values, block["sample"].values, shown.astype(int).tolist(), strict=True)
    return {(run, int(i)): chunks for run, i, chunks in lines}


def test_windows_of_the_kit(twin):
    seen = windows(Algonauts2025(twin[0], alignment="kit"), VISUAL)
    said = windows(Algonauts2025(twin[0], alignment="kit"), LANGUAGE)
    for run in ("friends_s01e01a", "bourne01", "life01_run-2"):
        assert seen[run, 13] == [6, 7, 8, 9, 10] and said[run, 13] == [10]
        assert seen[run, 12] == [5, 6, 7, 8, 9] and said[run, 12] == [9]
        assert seen[run, 5] == [5, 6, 7, 8, 9] and said[run, 5] == [5]
        assert [said[run, i][0] for i in range(5, 12)] == [5, 5, 5, 5, 6, 7, 8]
        assert all(seen[run, i] == [5, 6, 7, 8, 9] for i in range(5, 13))
    assert all(seen["friends_s07e01a", i] == [0, 1, 2, 3, 4] for i in range(8))
    assert seen["friends_s07e01a", 8] == [1, 2, 3, 4, 5]
    assert [said["friends_s07e01a", i][0] for i in range(5)] == [0, 0, 0, 0, 1]


def test_windows_that_are_clamped_start_with_the_film(twin):
    seen = windows(Algonauts2025(twin[0]), VISUAL)
    for run in ("friends_s01e01a", "friends_s07e01a"):
        assert seen[run, 5] == seen[run, 7] == [0, 1, 2, 3, 4]
        assert seen[run, 13] == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("name", ["published", "by_film"])
def test_one_member_gives_language_another_window_than_film_and_sound(twin, name):
    recipe = load_recipe("algonauts2025/kit", [f"dataset.path={twin[0]}"])
    ours = Algonauts2025(**{k: v for k, v in recipe.dataset.items() if k != "use"})
    member = next(m for m in recipe.member if m.name == name)
    stimuli, block = ours.stimuli(), ours.responses()["sub-01"]
    index = stimuli.table["index"].to_numpy(dtype=np.float32)[:, None]
    space = ArraySpace(stimuli.ids, index)
    names = ("film.avgpool", "sound.mfcc", "words.output", "text.pooler")
    seen = Features(dict.fromkeys(names, space), stimuli.ids, order=Order.of(stimuli))
    assert seen.select(member.features).names == names
    view = seen.rows(block.stimulus.values.tolist())
    # Chunks are counted behind zscore and pca, which would make other numbers of them.
    for line in member.steps[2:]:
        view = replace(build("step", line).fit(seen).transform(view), order=seen.order)
    shown = {n: view[n].astype(int).tolist() for n in names}
    rows = zip(block.run.values, block["sample"].values.tolist(), strict=True)
    at = {row: k for k, row in enumerate(rows)}
    for run in ("friends_s01e01a", "bourne01"):
        for i, window, word in ((5, [5, 6, 7, 8, 9], 5), (12, [5, 6, 7, 8, 9], 9)):
            assert shown["film.avgpool"][at[run, i]] == shown["sound.mfcc"][at[run, i]] == window
            assert shown["words.output"][at[run, i]] == shown["text.pooler"][at[run, i]] == [word]
        assert shown["film.avgpool"][at[run, 13]] == [6, 7, 8, 9, 10]
        assert shown["words.output"][at[run, 13]] == [10]
    assert shown["film.avgpool"][at["friends_s07e01a", 0]] == [0, 1, 2, 3, 4]
    assert shown["words.output"][at["friends_s07e01a", 4]] == [1]
    assert design(view, block[:1]).shape == (1, 5 + 5 + 1 + 1)


def test_the_kit_on_every_sample_of_a_run(twin):
    """Against its rule written down: windows of training samples that are kept."""
    seen = windows(Algonauts2025(twin[0], alignment="kit"), VISUAL)
    said = windows(Algonauts2025(twin[0], alignment="kit"), LANGUAGE)
    counts = (
        Algonauts2025(twin[0], alignment="kit").stimuli().table.groupby("movie")["index"].max() + 1
    )
    for (run, i), chunks in seen.items():
        movie = run.partition("_run-")[0]
        if movie.startswith("friends_s07"):
            continue
        assert i < counts[movie]
        start = 5 if i - 5 < 5 + 3 else i - 3 - 5 + 1
        assert chunks == list(range(start, start + 5)), (run, i)
        assert said[run, i] == [5 if i - 5 < 3 else i - 3]


def filmed(tree, split, chunks):
    """A film of so many whole chunks put where there was none, shorter than its runs."""
    place = film_file(tree, Movie.parse(split))
    place.parent.mkdir(parents=True, exist_ok=True)
    made.made_films.write_film(place, np.random.default_rng(0), (chunks + 0.2) * 1.49, 4, 32, False)
    assert chunk_count(seconds_of(place), 1.49, False) == chunks
    return place


def test_samples_behind_the_film_have_stimuli_that_show_its_last_chunk(tree):
    ours = Algonauts2025(tree, subjects=(1,))
    before = ours.responses()["sub-01"]
    place = filmed(tree, "wolf01", 20)
    stimuli, block = ours.stimuli(), ours.responses()["sub-01"]
    wolf, rows = (t.query("movie == 'wolf01'") for t in (stimuli.table, row_table(block)))
    samples = rows["sample"].tolist()
    assert samples[0] == 5 and samples[-1] > 25
    assert rows["stimulus"].tolist() == [f"wolf01#{i:04d}" for i in samples]
    assert wolf["index"].tolist() == list(range(samples[-1] + 6))
    assert wolf["onset"].tolist() == pytest.approx([min(k, 19) * 1.49 for k in wolf["index"]])
    assert set(wolf["file"]) == {str(place)} and set(wolf["duration"]) == {1.49}
    np.testing.assert_array_equal(block.values, before.values)
    kit = replace(ours, alignment="kit")
    assert kit.stimuli().table.query("movie == 'wolf01'")["index"].tolist() == list(range(5, 23))
    rows = row_table(kit.responses()["sub-01"]).query("run == 'wolf01'")
    assert rows["stimulus"].tolist() == [f"wolf01#{min(i, 22):04d}" for i in samples]


def test_windows_at_the_end_of_a_film_are_never_stale(tree):
    """The kit's rule written down, on samples far behind the last chunk of a film too."""
    lengths = {"wolf01": 20, "s07e01a": 30, "bourne01": 30}
    for split, chunks in lengths.items():
        filmed(tree, split, chunks)
    ours = Algonauts2025(tree, subjects=(1,), alignment="kit")
    seen, said = windows(ours, VISUAL), windows(ours, LANGUAGE)
    plain = windows(replace(ours, alignment="clamped"), VISUAL)
    for split, count in lengths.items():
        test = split.startswith("s07")
        run, first = (f"friends_{split}", 0) if test else (split, 5)
        own = [i for r, i in seen if r == run]
        assert max(own) >= (count + 3 if split == "wolf01" else count)
        for i in own:
            start = first if i - first < 8 else i - 7
            start = min(start, count - 5)
            assert seen[run, i] == list(range(start, start + 5)), (run, i)
            # Of the language of sample i the code takes the last line from `count` on.
            late = [min(i - 3, count - 1)]
            assert said[run, i] == (late if i - first >= 3 else [first]), (run, i)
            if i >= 8:
                assert plain[run, i] == list(range(i - 7, i - 2))


def test_what_goes_on_behind_a_film_is_read_as_its_last_chunk(tree):
    filmed(tree, "wolf01", 20)
    ours = Algonauts2025(tree, subjects=(1,))
    ids = [f"wolf01#{k:04d}" for k in (18, 19, 20, 30)]
    stimuli = digests(ours.stimuli().select(ids))
    told = stimuli.table["digest"].tolist()
    assert told[0] and told[0] != told[1] and told[1] == told[2] == told[3]
    extractor = build("extractor", {"use": "pixels", "size": 4, "frames": 1})
    found = np.concatenate([next(iter(batch.values())) for batch in extractor(stimuli)])
    np.testing.assert_array_equal(found[2], found[1])
    assert np.isfinite(found).all() and not np.array_equal(found[0], found[1])
