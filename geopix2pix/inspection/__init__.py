"""What a tile set holds, in numbers and pictures."""
