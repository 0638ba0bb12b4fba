"""A page about runs: ``entropy-sde report``."""
