"""How many phones, how small, how fast: the module in Apache, and nginx with
nchan, the best server of held requests that we know, for comparison.

`plan` is how much of everything, `ours` and `nchan` are the two sites, `load`
drives the phones, `measure` looks at a site while it does; `figures` makes
medians of it, `targets` says what was wanted, `report` and `plot` show it.
"""
