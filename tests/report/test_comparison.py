"""The page of a comparison: what it says, and names that mean no good."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from striate.errors import FileError
from striate.report.comparison import Comparison
from striate.report.comparison_page import page_of, pictures, verdict, write_comparison
from striate.scores.contests import averages, sets_of, tables_of

from .made import HOSTILE, NASTY


def made(names=("one", "two", "three"), regions=("V1", "V2"), draws=50, ranks=True):
    rng = np.random.default_rng(0)
    values = np.array([0.5, 0.3, 0.29])[: len(names), None] + 0.05 * rng.standard_normal(
        (len(names), 12)
    )
    inside = pd.DataFrame({r: rng.random(12) < 0.6 for r in regions})
    sets = sets_of(np.array(["s1", "s2"] * 6, dtype=object), inside, "both")
    masks = np.stack(list(sets.values()), axis=1)
    mean, median = averages(values, masks)
    drawn = mean[:, None] + 0.02 * rng.standard_normal((len(names), draws, masks.shape[1]))
    scores, pairs = tables_of(
        names, list(sets), masks, (mean, median), mean, [drawn, drawn], "pearson"
    )
    lines = [
        {"model": n, "roi": r, "validation": 0.3 + 0.1 * k, "test": 0.5 - 0.1 * k}
        for k, n in enumerate(names)
        for r in ("", *regions)
    ]
    table = pd.DataFrame(lines if ranks else [], columns=["model", "roi", "validation", "test"])
    return Comparison(
        "pearson", scores, pairs, table, {"": -1.0} if ranks else {}, ["A note."], draws
    )


def test_the_page_tells_what_is_best_and_what_is_alike():
    found = made()
    assert found.models == ["one", "two", "three"]
    told = verdict(found)
    assert "“one” has the best mean Pearson correlation" in told
    assert told.endswith("the interval of its difference to every other model excludes 0.")
    alike = verdict(replace(found, differences=found.differences.assign(p=0.5)))
    assert "cannot be told from “two”, “three”" in alike
    bare = replace(found, differences=found.differences.assign(p=np.nan))
    assert "told" not in verdict(bare)
    page = page_of(found)
    assert "compares the medians" in page
    for words in ("3 models compared", "A note.", "Spearman correlation", "−1.00", "s1 · V1"):
        assert words in page
    assert sorted(pictures(found)) == ["differences", "models", "ranks"]


def test_nothing_is_drawn_of_nothing():
    found = made(draws=0, ranks=False)
    assert list(pictures(found)) == ["models"]
    page = page_of(found)
    assert "Validation rank against" not in page
    assert "nan" not in re.sub(r"data:image[^\"]*", "", page).lower()


@pytest.mark.parametrize("name", [HOSTILE, NASTY])
def test_hostile_names_stay_words(name):
    page = page_of(made((name, "two", "three"), (name, "V2")))
    plain = re.sub(r"data:image[^\"]*", "", page)
    assert "<script" not in plain
    assert "<img src=x" not in plain
    assert "\x00" not in plain


def test_words_for_a_terminal_fit_it_and_count_what_they_leave_out():
    names = tuple(f"model {k} of a long name" for k in range(3))
    told = made(names, tuple(f"region{k}" for k in range(20))).in_words()
    assert max(map(len, told.splitlines())) <= 150
    assert "validation rank against test rank: Spearman -1.00" in told
    assert "A note." in told


def test_files(tmp_path):
    found = write_comparison(made(), tmp_path / "deep" / "er")
    record = json.loads((found.folder / "comparison.json").read_text("utf-8"))
    assert record["agreement"] == {"": -1.0}
    assert [line["model"] for line in record["scores"]][:1] == ["one"]
    table = pd.read_csv(found.folder / "differences.csv", keep_default_na=False)
    assert len(table) == len(found.differences)
    assert (found.folder / "comparison.html").read_text("utf-8").endswith("</html>\n")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        write_comparison(made(), tmp_path / "file")
