"""The `skald` command; ``python -m skald`` is the same."""

from cli.main import main

if __name__ == "__main__":
    main()
