"""Data: images, LMDB databases and the datasets that read them, without BasicSR.

Nothing is imported here: the databases and the preparing commands do not need PyTorch.
"""
