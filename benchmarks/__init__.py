"""What is timed: each module has `main()`, which returns figures by name. Run: make bench."""
