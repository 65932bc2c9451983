"""`python -m videograin`."""

import sys

from videograin.cli.main import main

sys.exit(main())
