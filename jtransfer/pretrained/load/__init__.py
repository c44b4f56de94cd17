"""The audited load: names, layouts, positions, heads."""
