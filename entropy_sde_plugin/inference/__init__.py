"""Enhancing one's own pictures: files in, files out."""

from entropy_sde_plugin import register

register()  # before a module of this package is half imported
