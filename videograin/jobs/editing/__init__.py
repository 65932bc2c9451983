"""Edits, carried out: imported by the thread or process that edits, since it takes seconds."""
