"""What a run will take: memory, tokens and steps, from the real module tree and before anything is loaded."""
