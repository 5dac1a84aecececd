"""Converters from the fields' own formats; installed as ``domainvl.converters``, one folder an input family."""
