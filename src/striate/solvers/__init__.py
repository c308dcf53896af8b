"""The mathematics on arrays: rows in, numbers out, no brains and no files."""
