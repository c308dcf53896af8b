"""Shipped recipes: one TOML file each, named by folder and stem."""
