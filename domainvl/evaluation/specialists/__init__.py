"""What a field uses today: small models trained on the same split, baselines that do not look, published numbers."""
