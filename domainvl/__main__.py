"""Run the command line as ``python -m domainvl``."""

from domainvl.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
