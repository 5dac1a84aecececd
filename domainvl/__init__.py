"""domainvl: adapt a small vision-language model to a field's own imagery."""

__version__ = "0.1.0"
