"""The network of SDAN: a shared-offset alignment, a residual trunk and a pixel-shuffle tail."""
