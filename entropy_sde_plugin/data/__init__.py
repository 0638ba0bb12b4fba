"""Data: photographs, LMDB databases and the datasets that read them.

Nothing is imported here: the databases, the photographs and the preparing commands need neither PyTorch nor BasicSR.
``datasets`` registers the datasets with BasicSR.
"""
