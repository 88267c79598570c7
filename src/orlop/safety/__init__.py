"""May data be deleted? Whether the databases of a root are the newest that were used with its data.

A database that was set back looks like one of which much is garbage. So each session of writing
leaves proof with the data: a witness in each backend's directory, which names the exact state of
the databases, and a marker beside `meta.db`. The next session compares.
"""
