"""Tools for a database file: check, list pages, compare, back up, compact.

They import the engine and its contract, and nothing else of Orlop. No module of the engine imports
them.
"""
