"""`python -m reeltag` is the `reeltag` command."""

from reeltag.cli import main

if __name__ == "__main__":
    main()
