"""What trainers stand on: loss, optimizer, learning rate, precision."""
