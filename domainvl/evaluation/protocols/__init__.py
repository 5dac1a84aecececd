"""Protocols: how a benchmark is asked and scored, as frozen YAML files beside this module."""
