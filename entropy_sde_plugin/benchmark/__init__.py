"""What ``entropy-sde bench-gpu`` runs: it verifies the package on a GPU, and measures what it costs there.

`PARTS` lists the parts; `runner` runs each in a process of its own and collects their rows; `results` holds what was
found, as ``results.json`` and ``results.md``.
"""

from __future__ import annotations
