"""``python -m factlens`` is the command line."""

import sys

from factlens.cli import main

sys.exit(main())
