"""Images that are there twice, and what keeps them on one side of a split."""
