"""Region masks in and out: formats of other programs, mattes, and operations on their shapes."""
