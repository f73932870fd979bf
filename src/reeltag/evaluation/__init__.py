"""How good a ranking is: metrics, protocols, reports."""
