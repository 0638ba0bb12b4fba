"""What several tests need."""

from pathlib import Path

ENTROPY = {'type': 'SpatialEntropyLoss', 'levels': 8, 'windows': [1, 3], 'neighbour_weights': 'random'}
GOLDEN = Path(__file__).parents[1] / 'golden'
