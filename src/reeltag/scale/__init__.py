"""Past one machine: what the other rooms do, on several machines or processes at once."""
