"""The page that says how an evaluation came out. Imports no torch."""
