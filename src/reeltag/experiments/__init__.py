"""Whole procedures by name: train a run, judge it, check the machine."""
