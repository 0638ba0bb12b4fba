"""``python -m entropy_sde_plugin.train -opt …``: BasicSR's training with the plugin active.

The same as ``python -m basicsr.train`` and its arguments, for installations whose start-up files Python does not read
(``PYTHONPATH``, ``pip install --target``, ``python -S``).
"""

from __future__ import annotations

from pathlib import Path

from entropy_sde_plugin import register
from entropy_sde_plugin.utils.reporting import report_input_errors


def main() -> None:
    """Run BasicSR's ``train_pipeline`` in the working directory."""
    report_input_errors()
    register()
    from basicsr.train import train_pipeline

    train_pipeline(str(Path.cwd()))


if __name__ == '__main__':
    main()
