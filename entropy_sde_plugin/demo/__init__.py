"""The demonstration: its photographs, its training, and the page in the browser."""
