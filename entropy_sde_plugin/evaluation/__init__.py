"""What results are measured against and how they are shown."""

from entropy_sde_plugin import register

register()  # before a module of this package is half imported
