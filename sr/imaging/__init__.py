"""Image arithmetic: reference resizing filters, and luma in limited and full range."""
