"""Super-resolution learned from zoom pairs that do not line up (SDAN): pairs, network, training, use and proof."""
