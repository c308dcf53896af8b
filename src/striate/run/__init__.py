"""The one loop: it knows the order of events, and no kind of model."""

from striate.run.compare import compare
from striate.run.describe import describe_plan
from striate.run.fresh import predict_images
from striate.run.looks import look
from striate.run.out_of_fold import out_of_fold
from striate.run.outer import run_recipe
from striate.run.plan import Plan, Task, in_order
from striate.run.work import Work

__all__ = [
    "Plan",
    "Task",
    "Work",
    "compare",
    "describe_plan",
    "in_order",
    "look",
    "out_of_fold",
    "predict_images",
    "run_recipe",
]
