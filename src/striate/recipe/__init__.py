"""What to do: a recipe is a TOML file, checked at the door, with its sweeps multiplied out."""

from striate.recipe.load import apply_override, load_recipe, shipped
from striate.recipe.model import Inner, Member, Recipe, Table, parse
from striate.recipe.sweeps import expand, settled

__all__ = [
    "Inner",
    "Member",
    "Recipe",
    "Table",
    "apply_override",
    "expand",
    "load_recipe",
    "parse",
    "settled",
    "shipped",
]
