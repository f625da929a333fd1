"""The report of a whole run: its figures, gathered from the stages' records, and the page that shows them."""
