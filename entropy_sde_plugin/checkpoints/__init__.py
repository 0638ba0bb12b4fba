"""Checkpoints: weights and training states on disk, written completely or not at all."""
