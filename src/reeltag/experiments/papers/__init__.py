"""One file a paper: what it did and the numbers it printed, as procedures for any dataset."""
