"""What drafts are worth: measured against arithmetic, and on which link which method is fastest."""
