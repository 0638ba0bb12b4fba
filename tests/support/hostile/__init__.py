"""A fuzzer: malformed images, databases, option files and weights, each met by the command that a user would give."""
