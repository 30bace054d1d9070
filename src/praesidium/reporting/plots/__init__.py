"""Figures of runs, one file a figure: each takes a data frame of one data set and knows no store.

Each returns its file, or None where the frame holds nothing to show. Risks and PnL come in units of the spot at
inception and are drawn in basis points of it.
"""
