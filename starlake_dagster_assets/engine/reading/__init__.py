"""Files become accepted rows and rejected ones."""
