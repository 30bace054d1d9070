"""The training loop; it knows no finance."""
