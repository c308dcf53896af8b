"""The contract of what can be plugged in: checks for our own parts and for yours.

Each check passes in silence or raises `ContractError`, one sentence that says what is broken:

    from striate.testing import check_encoder
    check_encoder(MyEncoder())
"""

from striate.testing.cases import Case, members_case, pairs_case, stimuli_case
from striate.testing.contract import ContractError
from striate.testing.models import check_encoder, check_step
from striate.testing.sources import check_dataset, check_extractor

__all__ = [
    "Case",
    "ContractError",
    "check_dataset",
    "check_encoder",
    "check_extractor",
    "check_step",
    "members_case",
    "pairs_case",
    "stimuli_case",
]
