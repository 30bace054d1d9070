"""Values and sensitivities of liabilities."""
