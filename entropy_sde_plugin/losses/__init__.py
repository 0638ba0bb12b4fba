"""Losses. `spatial_entropy` is the functional core; `spatial_entropy_loss` registers the module with BasicSR.

Nothing is imported here, so that the core works in any PyTorch program without BasicSR.
"""
