"""Studies, cells, engines and the store."""
