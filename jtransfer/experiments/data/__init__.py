"""The data of an experiment: read, checked, told, opened again."""
