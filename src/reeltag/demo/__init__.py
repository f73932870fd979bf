"""Generated clips in, a trained and measured model with a filmstrip of its answers out."""
