"""``python -m fastserver``: the same as the ``fastserver`` command."""

import sys

from fastserver.cli import main

if __name__ == "__main__":
    sys.exit(main())
