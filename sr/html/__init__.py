"""What the pages about models share: labels, explanations and templates."""
