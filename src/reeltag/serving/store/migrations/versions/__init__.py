"""Revisions of the tables, oldest first by their numbers. One that was released never changes."""
