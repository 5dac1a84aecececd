"""How sure a score is: intervals over groups, paired tests, correction over tasks, and a verdict in words."""
