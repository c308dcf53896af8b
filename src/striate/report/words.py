"""Numbers and sentences: what a run amounts to, in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from striate.errors import some
from striate.report.record import Report
from striate.report.sources import encoder_of, read_recipe, source_of
from striate.scores import SCORES

TITLES = {
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "r2": "R²",
    "mse": "mean squared error",
}


def number(value: Any) -> str:
    """Three digits: 0.611, 12.3, 1,235; a dash where there is none.

    >>> number(0.61063), number(2.6911), number(-12.345), number(4.2e-5), number(14), number(None)
    ('0.611', '2.69', '−12.3', '4.2e−05', '14', '–')
    """
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return value if isinstance(value, str) else "–"
    size = abs(value)
    if isinstance(value, int) or size >= 100:
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    elif size >= 0.0005 or size == 0:
        text = f"{value:.3f}"
    else:
        text = f"{value:.1e}"
    return text.replace("-", "−")


def percent(fraction: Any) -> str:
    """A fraction in percent: ``71.3 %``."""
    return "–" if number(fraction) == "–" else f"{100 * fraction:.1f} %".replace("-", "−")


def span(ends: Sequence[float] | None) -> str:
    """An interval: ``0.594 to 0.623``; empty where there is none."""
    if not ends or number(ends[0]) == "–":
        return ""
    return f"{number(ends[0])} to {number(ends[1])}"


def own_scores(scores: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A data set's own scores among those of a member: the entries that have a ``value``."""
    return {n: e for n, e in scores.items() if "value" in e}


def unit_of(entry: Mapping[str, Any]) -> str:
    """The sign behind the values of an own score: ``%``, or nothing."""
    return "%" if entry.get("unit") == "percent" else ""


def with_unit(entry: Mapping[str, Any]) -> str:
    """The value of an own score with its unit: ``17.7 %``."""
    return f"{number(entry['value'])} {unit_of(entry)}".strip()


def shared(entry: Mapping[str, Any]) -> str:
    """How many targets a partial score is of: ``partial score, of 300 of 1,000 targets``.

    Empty for a score of all targets.

    >>> shared({"value": 0.3, "not_predicted": 700, "of": 1000}), shared({"value": 0.3})
    ('partial score, of 300 of 1,000 targets', '')
    """
    missing, of = entry.get("not_predicted", 0), entry.get("of", 0)
    return f"partial score, of {of - missing:,} of {of:,} targets" if missing and of else ""


def count(n: int, thing: str) -> str:
    """``1 subject``, ``1,200 stimuli``, ``3 entries``."""
    plural = {"stimulus": "stimuli", "entry": "entries"}.get(thing, f"{thing}s")
    return f"{n:,} {thing if n == 1 else plural}"


def title_of(score: str) -> str:
    """A score's name as it is written in sentences."""
    return TITLES.get(score, score)


def higher_is_better(score: str) -> bool:
    """Whether more of the score is better; so it is for scores of a dataset's own."""
    return SCORES[score].higher_is_better if score in SCORES else True


def duration(seconds: Any) -> str:
    """``2 min 17 s``."""
    if not isinstance(seconds, int | float):
        return "–"
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{seconds:.1f} s"


def verdict(report: Report) -> list[str]:
    """What was predicted from what, how well, against which ceiling, and whether to believe it."""
    told = [_what(report), _how_well(report), _above_chance(report)]
    told += [_official(report), _against_members(report), _not_predicted(report)]
    told += [left_out(report.summary), *_leaks(report)]
    return [t for t in told if t]


def left_out(summary: Mapping[str, Any]) -> str:
    """Stimuli whose features could not be computed: how many, which, and how many rows that cost.

    Empty where there are none.
    """
    found = summary.get("left_out", {})
    names = [str(line["stimulus"]) for line in found.get("stimuli", [])]
    if not names:
        return ""
    rows = sum(found.get("rows", {}).values())
    return (
        f"Beware: {count(len(names), 'stimulus')} ({some(names)}) with {count(rows, 'row')} of"
        " responses left out, because features could not be computed."
    )


def _not_predicted(report: Report) -> str:
    """Targets without a prediction are in no score, so their number is said."""
    entry = report.summary["scores"].get(report.summary["headline"], {})
    missing = entry.get("not_predicted", 0)
    if not missing:
        return ""
    return (
        f"Beware: {count(missing, 'measured target')} of"
        f" {missing + entry.get('targets', 0) + entry.get('left_out', 0):,} got no prediction and"
        " no score."
    )


def _what(report: Report) -> str:
    summary = report.summary
    split = summary.get("split", {})
    scored = summary["scores"].get(summary["headline"], {}).get("by_subject", {})
    people = len(scored) or len(report.truth) or len(split.get("subjects", {}))
    paired = any("stimulus_2" in b.coords for b in report.truth.values())
    brain = "dissimilarities between stimuli in" if paired else "responses of"
    targets = summary["scores"].get(summary["headline"], {}).get("targets", 0)
    text = f"The {brain} {count(targets, 'target')}"
    text += f" of {count(people, 'subject')}" if people > 1 else ""
    source, encoder = source_of(report, summary["member"]), encoder_of(report, summary["member"])
    text += f" were predicted from {source or 'the features that the recipe names'}"
    text += f" by “{summary['member']}”" + (f" ({encoder})" if encoder else "")
    return f"{text}. {_tested_on(split)}"


def _tested_on(split: Mapping[str, Any]) -> str:
    calls = split.get("calls", [])
    if not calls:
        return ""
    test = sum(c["test"] for c in calls)
    if len(calls) == 1:
        return (
            f"Scores are of {count(test, 'stimulus')} that no fit had seen; fits saw"
            f" {calls[0]['train']:,} others."
        )
    return (
        f"Scores are pooled over {len(calls)} parts ({count(test, 'stimulus')}), each predicted by"
        " fits that had not seen it."
    )


def _how_well(report: Report) -> str:
    score = report.summary["headline"]
    entry = report.summary["scores"].get(score, {})
    if number(entry.get("median")) == "–":
        return f"The {title_of(score)} is not defined for any target."
    text = f"The median {title_of(score)} over targets is {number(entry['median'])}"
    ends = span(entry.get("resampled", {}).get("interval"))
    text += f" (95 % interval over resampled stimuli: {ends})" if ends else ""
    normalised = entry.get("normalised", {})
    if number(normalised.get("median")) != "–" and normalised["median"] > 1:
        text += (
            f"; the median target exceeds its noise ceiling ({percent(normalised['median'])}), so"
            " the ceilings are estimated too low or scores are too high"
        )
    elif number(normalised.get("median")) != "–":
        text += f"; the median target reaches {percent(normalised['median'])} of its noise ceiling"
    elif not own_scores(report.summary["scores"]):
        text += "; no noise ceiling is known, so how much was reachable is open"
    return text + "."


def _official(report: Report) -> str:
    """Scores of the dataset's own, where it has any."""
    told = []
    for name, entry in own_scores(report.summary["scores"]).items():
        share = with_unit(entry) + (" of the noise ceiling" if unit_of(entry) else "")
        whose = f" of {entry['name']}" if "name" in entry else ""
        if name == "partial":
            told.append(f"Beware: {shared(entry)}{whose}: {share}.")
        elif name == "official":
            told.append(f"The official score{whose} is {share}.")
        elif name == "corrected":
            told.append(
                f"Corrected for signs and targets without signal, it is {with_unit(entry)}."
            )
        else:
            told.append(f"The official score {name} is {share}.")
    return " ".join(told)


def _above_chance(report: Report) -> str:
    score = report.summary["headline"]
    entry = report.summary["scores"].get(score, {})
    targets = entry.get("targets", 0)
    known = report.summary["scores"].get("pearson", {})
    if "significant" in known and known.get("targets"):
        found = known["significant"]
        how = "permuted stimuli, false discovery rate 5 %"
        if not found:
            return f"No target is predicted above chance ({how})."
        share = f"{found:,} of {known['targets']:,} targets"
        return f"{share} are predicted above chance ({how})."
    p = entry.get("permutation_p", {})
    if p:
        sure = [n for n, v in p.items() if v <= 0.05]
        told = "; ".join(f"{n} p = {number(v)}" for n, v in p.items()) if len(p) <= 6 else ""
        share = "All regions" if len(sure) == len(p) else f"{len(sure)} of {len(p)} regions"
        text = f"{share} are predicted above chance (images permuted, p ≤ 0.05, uncorrected"
        return f"{text}{': ' if told else ''}{told})."
    ends = entry.get("resampled", {}).get("interval")
    if span(ends) and score != "mse" and targets:
        if ends[0] > 0:
            return "The median is above chance: its interval excludes 0."
        if ends[1] < 0:
            return "The median is below 0, and its interval excludes 0: predictions run backwards."
        return "The median is not distinguishable from chance: its interval includes 0."
    return ""


def _against_members(report: Report) -> str:
    summary = report.summary
    score, answer = summary["headline"], summary["member"]
    sign = 1 if higher_is_better(score) else -1
    middles = {
        n: sign * e[score]["median"]
        for n, e in summary.get("members", {}).items()
        if n != answer and number(e.get(score, {}).get("median")) != "–"
    }
    own = summary["scores"].get(score, {}).get("median")
    if not middles or number(own) == "–":
        return ""
    best = max(middles, key=lambda n: middles[n])
    ends = summary.get("comparisons", {}).get(best, {}).get("interval")
    ends = sorted(sign * e for e in ends) if ends and number(ends[0]) != "–" else None
    versus = f"the best other member, “{best}” ({number(sign * middles[best])})"
    if ends and ends[0] <= 0 <= ends[1]:
        return (
            f"The answer is not distinguishable from {versus}: the 95 % interval of their"
            f" difference, {span(ends)}, includes 0."
        )
    if middles[best] > sign * own:
        sure = ", and the interval of their difference excludes 0" if ends else ""
        return (
            f"The answer does less well than {versus}{sure}; to pick that member now would be to"
            " choose on the test stimuli."
        )
    if ends is None:
        return f"The answer does at least as well as {versus}."
    return f"The answer beats {versus}: the interval of their difference excludes 0."


def _leaks(report: Report) -> list[str]:
    found = report.summary.get("duplicates", {})
    told = []
    crossing, action = found.get("near_crossing", 0), found.get("near_action")
    if crossing:
        pairs = f"{crossing:,} {'pair' if crossing == 1 else 'pairs'} of nearly identical stimuli"
        text = (
            f"Beware: {pairs} {'stands' if crossing == 1 else 'stand'} on both sides of the split"
        )
        worth = found.get("leakage")
        if worth:
            text += (
                "; with the partners of test stimuli out of the training sets, the score goes from"
                f" {number(worth.get('as split'))} to {number(worth.get('grouped'))}"
            )
        told.append(text + ".")
    elif found.get("looked_for_near") and action == "group" and found.get("near"):
        told.append(f"{found['near']:,} pairs of nearly identical stimuli were kept together.")
    elif found.get("looked_for_near"):
        told.append("No nearly identical stimuli stand on both sides of the split.")
    elif found:
        told.append("Nobody looked for nearly identical stimuli on both sides of the split.")
    flags = summary_flags(read_recipe(report.recipe))
    told += [f"Beware: the recipe leaks on purpose ({f})." for f in flags]
    return told


def summary_flags(table: Any, path: str = "") -> list[str]:
    """Dotted paths of recipe fields named after a leak that are switched on."""
    if isinstance(table, Mapping):
        found = []
        for key, value in table.items():
            here = f"{path}.{key}" if path else str(key)
            named = "leak" in str(key).lower() and value not in (False, None, "", [], {}, "none")
            found += [here] if named else summary_flags(value, here)
        return found
    if isinstance(table, list):
        return [
            f
            for k, v in enumerate(table)
            for f in summary_flags(v, f"{path}.{v.get('name', k) if isinstance(v, dict) else k}")
        ]
    return []
