"""The command line: one module a subcommand; each parses, calls and prints, and imports heavy things late."""
