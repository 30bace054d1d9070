"""Parameters of price dynamics from daily returns, under the physical measure, with what is known of each."""
