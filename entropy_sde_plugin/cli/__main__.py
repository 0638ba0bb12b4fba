"""``python -m entropy_sde_plugin.cli``: the command, where it is not on PATH."""

import sys

from entropy_sde_plugin.cli import main

if __name__ == '__main__':
    sys.exit(main())
