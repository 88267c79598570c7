"""The command line: one file per group of commands.

No logic lives here that a user of the library could not reach: a command opens a database,
calls it, and says what came of it.
"""
