"""Data: images, LMDB databases and the datasets that read them, without BasicSR.

Nothing is imported here, since databases and ``entropy-sde prepare`` do not need PyTorch.
"""
