"""What a reader types: a module for each command, which asks and reports; the rooms do the work."""
