"""The three containers: what was shown, what networks made of it, what the brain answered."""

from striate.data.features import ArraySpace, Features, Space, design
from striate.data.responses import (
    Responses,
    align,
    assemble,
    by_subject,
    check_responses,
    digest,
    has_truth,
    identities,
    label_responses,
    membership,
    merge,
    roi_names,
    row_table,
    slots,
    stack,
    target_table,
    target_tables,
)
from striate.data.stimuli import Stimuli, natural_key

__all__ = [
    "ArraySpace",
    "Features",
    "Responses",
    "Space",
    "Stimuli",
    "align",
    "assemble",
    "by_subject",
    "check_responses",
    "design",
    "digest",
    "has_truth",
    "identities",
    "label_responses",
    "membership",
    "merge",
    "natural_key",
    "roi_names",
    "row_table",
    "slots",
    "stack",
    "target_table",
    "target_tables",
]
