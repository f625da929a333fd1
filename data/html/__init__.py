"""What every HTML page shares: formatting of values, charts, the style sheet, and the rendering of templates."""
