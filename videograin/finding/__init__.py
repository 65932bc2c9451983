"""Objects are found by their names: a description in words becomes masks on a frame."""
