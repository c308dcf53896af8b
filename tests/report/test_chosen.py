"""What members that choose took, read off the notes of their fits."""

import numpy as np
import pytest

from striate.report.chosen import agreement, candidates, told


def fit(roi, scores, chosen, targets=10, subject="s1", call="fold0", member="best"):
    entry = {"subject": subject, "roi": roi, "targets": targets, "of": scores, "chosen": chosen}
    return {"call": call, "member": member, "encoder": {"candidates": [entry]}}


FITS = [
    fit("V1", {"a": 0.5, "b": 0.1, "c": 0.2}, {"a": 1.0, "b": 0.0, "c": 0.0}),
    fit("V1", {"a": 0.3, "b": 0.4, "c": 0.2}, {"a": 0.0, "b": 1.0, "c": 0.0}, 30, call="fold1"),
    fit("", {"a": 0.2, "b": None, "c": 0.3}, {"a": 0.0, "b": 0.0, "c": 1.0}),
    {"call": "fold0", "member": "a", "encoder": {}},
]
SUMMARY = {
    "members": {
        n: {"pearson": {"mean": m, "by_roi": {"V1": {"mean": m}}}}
        for n, m in {"a": 0.4, "b": 0.45, "c": 0.1}.items()
    }
}


def test_fits_are_averaged_by_their_targets():
    found = candidates(FITS).set_index(["roi", "of"])
    assert found.loc[("V1", "a"), "score"] == pytest.approx((0.5 * 10 + 0.3 * 30) / 40)
    assert found.loc[("V1", "b"), "share"] == pytest.approx(0.75)
    assert found.loc[("V1", "c"), "targets"] == 40
    assert np.isnan(found.loc[("", "b"), "score"])
    assert candidates([]).empty


def test_agreement_of_the_choice_with_held_out_rows():
    found = candidates(FITS)
    own = found[found["roi"] == "V1"]
    # choice: a .35, b .325, c .2; held out: a .4, b .45, c .1
    assert agreement(own, SUMMARY) == pytest.approx(0.5)
    assert np.isnan(agreement(own.head(2), SUMMARY))
    assert np.isnan(agreement(own, {}))


def test_the_table_names_region_choice_and_every_score():
    page = "\n".join(told(FITS, SUMMARY))
    for words in ("What best chose", "no region", "b (75.0 %), a (25.0 %)", "0.325", "0.500"):
        assert words in page
    assert list(told([], SUMMARY)) == []
    many = {f"m{k}": k / 100 for k in range(40)}
    wide = "\n".join(told([fit("V1", many, {n: float(n == "m39") for n in many})], {}))
    assert "m39" in wide
    assert "m17" not in wide
