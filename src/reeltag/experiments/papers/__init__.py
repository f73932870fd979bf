"""One file a paper: what it did and the numbers it printed, for any dataset; and what we do."""
