"""Options: from an option file, in one pass, to checked structs. No module here imports BasicSR at import."""
