"""General helpers that do not depend on images, diffusion or BasicSR's options."""
