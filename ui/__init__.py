"""The browser page: it shows what `videograin` does and imports neither torch nor diffusers itself."""
