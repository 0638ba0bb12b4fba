"""``python -m entropy_sde_plugin.test -opt …``: BasicSR's test with the plugin active.

The same as ``python -m basicsr.test`` and its arguments, for installations whose start-up files Python does not read
(``PYTHONPATH``, ``pip install --target``, ``python -S``).
"""

from __future__ import annotations

from pathlib import Path

from entropy_sde_plugin import register
from entropy_sde_plugin.utils.reporting import report_input_errors


def main() -> None:
    """Run BasicSR's ``test_pipeline`` in the working directory."""
    report_input_errors()
    register()
    from basicsr.test import test_pipeline

    test_pipeline(str(Path.cwd()))


if __name__ == '__main__':
    main()
