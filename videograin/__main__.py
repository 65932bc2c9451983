"""`python -m videograin`."""

import sys

from videograin.cli import main

sys.exit(main())
