"""Image files with everything that belongs to them: bit depth, transparency, colour profile, EXIF."""
