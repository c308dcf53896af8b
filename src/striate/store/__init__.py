"""The store: feature rows and finished tasks, found by content, safe to interrupt at any moment."""

from striate.store.arrays import Unstorable
from striate.store.filling import Broken, fill
from striate.store.products import Products
from striate.store.responses import load_responses, save_responses
from striate.store.rows import Entry
from striate.store.spaces import StoredSpace, stored_spaces
from striate.store.tables import Piece, Table
from striate.store.temporary import open_store
from striate.store.tree import load_tree, save_tree

__all__ = [
    "Broken",
    "Entry",
    "Piece",
    "Products",
    "StoredSpace",
    "Table",
    "Unstorable",
    "fill",
    "load_responses",
    "load_tree",
    "open_store",
    "save_responses",
    "save_tree",
    "stored_spaces",
]
