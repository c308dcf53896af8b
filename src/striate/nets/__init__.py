"""Torch modules, named networks with weights and preprocessing; nothing here knows of brains."""
