"""Checkpoints: weights and training states on disk, written whole or not at all."""
