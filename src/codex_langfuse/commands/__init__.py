"""What a reader types: one module for each command.

In come options, the environment and the terminal; out go text, JSON and an exit status. A module here asks,
reports and leaves the work to the rooms. ``messages`` has the sentences that several commands print.
"""
