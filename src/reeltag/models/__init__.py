"""Models, one file each, behind one contract and one registry."""
