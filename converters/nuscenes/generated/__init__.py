"""The generated world of :mod:`domainvl.converters.nuscenes.generate`: what there is, how it is drawn and told."""
