"""What the other modules share: the errors."""
