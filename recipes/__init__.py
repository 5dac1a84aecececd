"""Recipes as YAML; installed as ``domainvl.recipes``."""
