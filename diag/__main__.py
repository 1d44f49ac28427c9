"""``python -m diag``."""

from diag.commands.app import main

if __name__ == "__main__":
    main()
