"""What enhancing imports: a user waits for it at every start."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ('basicsr', 'lpips', 'rawpy', 'scipy', 'skimage', 'torchvision')


def test_rgb_images_are_enhanced_without_the_heavy_packages_of_others():
    code = f'import sys, entropy_sde_plugin.inference.run; print([name for name in {HEAVY} if name in sys.modules])'
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == '[]'
