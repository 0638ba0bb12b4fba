"""Helpers that know nothing of images, diffusion or BasicSR's options."""
