"""Enhancing one's own pictures: files in, files out; without BasicSR."""
