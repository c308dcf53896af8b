"""Networks that no library ships, built from their papers; weights are files of the user's."""
