"""A user's work: clip, objects, words and settings, as a value, a folder, a file or an archive."""
