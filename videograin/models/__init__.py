"""Models by name, how they are loaded, what suits them and what an edit with them costs."""
