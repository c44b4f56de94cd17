"""From encoded images to pixels that are kept."""
