"""`python -m alohub_async.cli`."""

from alohub_async.cli import main

if __name__ == "__main__":
    main()
