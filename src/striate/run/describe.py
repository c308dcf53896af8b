"""What a run would do: tasks, rows, targets, bytes to read and to write; nothing is done."""

from __future__ import annotations

import shutil

from striate.recipe import Recipe
from striate.run.plan import Plan, in_order


def describe_plan(recipe: Recipe) -> str:
    """The plan of a recipe in words, as ``striate run --dry-run`` prints it."""
    plan = Plan(recipe)
    tasks = [t for wave in in_order(plan.wanted()) for t in wave]
    lines = [f"{recipe.title or 'recipe'}", ""]
    lines.append(f"stimuli   {len(plan.stimuli)}")
    for subject, block in plan.responses.items():
        size = block.nbytes / 1e6
        lines.append(f"subject   {subject}: {block.shape[0]} rows, {block.shape[1]} targets")
        lines[-1] += f", {size:.1f} MB"
    lines.append(f"features  {', '.join(plan.spaces) or 'none'}")
    for call in [*plan.outer(), *plan.final()]:
        lines.append(f"call      {call.name}: fit {len(call.train)}, predict {len(call.test)}")
    lines.append(f"tasks     {len(tasks)}")
    for member in plan.recipe.member:
        own = [t for t in tasks if t.member == member.name]
        targets = {sum(len(at) for g in t.groups for _, at in g) for t in own}
        count = (
            f"{min(targets)}–{max(targets)}" if len(targets) > 1 else f"{min(targets, default=0)}"
        )
        lines.append(f"  {member.name}: {len(own)} fits of {count} targets each")
    rows = sum(len(t.rows) * sum(len(at) for g in t.groups for _, at in g) for t in tasks)
    lines.append(f"to store  about {4 * rows / 1e6:.1f} MB of predictions, and the fits")
    free = shutil.disk_usage(plan.store).free
    lines.append(f"disk      {free / 1e9:.1f} GB free in {plan.store}")
    return "\n".join(lines)
