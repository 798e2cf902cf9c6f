"""Sound bounds of outputs over balls and boxes, for networks of any size (torch)."""
