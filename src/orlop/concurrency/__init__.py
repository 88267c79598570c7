"""Locks that threads of one process share."""
