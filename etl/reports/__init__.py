"""Pages that people look at: the frame that they share, and the page on the business."""
