"""`python -m carbonnode`: the command line."""

from carbonnode.cli.main import main

if __name__ == "__main__":
    main()
