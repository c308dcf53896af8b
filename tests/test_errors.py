"""Messages that help."""

from striate.errors import DataError, FileError, RecipeError, StriateError, some, unknown


def test_unknown_names_the_nearest_and_all():
    said = unknown("encoder", "rdige", {"stack": 1, "ridge": 2}, "member.roi")
    assert said == (
        "unknown encoder 'rdige' in member.roi: did you mean 'ridge'? Valid: ridge, stack"
    )
    assert unknown("x", "zzz", []) == "unknown x 'zzz'. Valid: none"
    assert unknown("x", "zzz", map(str, range(60))).endswith(", …")


def test_some_counts_what_it_leaves_out():
    assert some([]) == ""
    assert some(["a", "b"]) == "a, b"
    assert some(range(9), 2) == "0, 1, … (9 in all)"


def test_every_mistake_is_a_striate_error():
    assert all(issubclass(e, StriateError) for e in (DataError, FileError, RecipeError))
