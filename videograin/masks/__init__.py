"""Region masks in and out: formats of other programs, mattes, and what is done to their shapes."""
