"""Options: from an option file to checked structs, in one pass. These modules import BasicSR only inside functions."""
