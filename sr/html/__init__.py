"""What every HTML page shares: formatting of values, line charts, templates and their rendering."""
