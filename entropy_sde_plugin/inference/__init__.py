"""Inference on the user's own images: files in, files out; without BasicSR."""
