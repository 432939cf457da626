"""``python -m maskrcnn_edu`` is the command ``maskrcnn-edu``."""

import sys

from maskrcnn_edu.cli.main import main

sys.exit(main())
