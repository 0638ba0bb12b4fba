"""The engine in plain PyTorch, for every device and precision."""
