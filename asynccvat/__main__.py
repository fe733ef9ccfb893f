"""`python -m asynccvat`: the command line."""

from asynccvat.cli import main

if __name__ == "__main__":
    main()
