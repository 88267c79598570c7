"""Locks, claims and ownership between threads and processes; knows nothing of databases."""
