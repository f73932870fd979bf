"""From a fitted model to a stored run: the loop, its settings, checkpoints, evidence."""
