"""Open the studio in a browser: the entry of a Hugging Face Space. Elsewhere `videograin app` does the same."""

import sys
from contextlib import suppress

with suppress(ImportError):
    # Only Spaces have it; on ZeroGPU it must come before any library that looks for a GPU.
    import spaces  # noqa: F401  # pyright: ignore[reportMissingImports]

from videograin.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["app", *sys.argv[1:]]))
