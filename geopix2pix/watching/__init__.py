"""What a training run shows while it goes on and when it is done."""
