"""What was handed in: the ledger, and what public scores say of hidden ones."""
