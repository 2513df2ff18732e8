"""What a reader types: one module a command, which asks, tells, and leaves the work to the rooms."""
