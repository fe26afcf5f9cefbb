"""`python -m autodistill` is the command autodistill."""

import sys

from .cli import main

sys.exit(main())
