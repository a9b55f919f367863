"""`python -m vibe` is the command line."""

import sys

from vibe.cli import main

sys.exit(main())
