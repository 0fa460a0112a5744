"""What is fast, measured against peers: `python -m bench`, or `make bench`.

Every figure is measured side by side in one run: the two sides of a ratio take turns, several rounds of them, and what
is reported is the median of the rounds' ratios with the least and the greatest. Load always comes from another process,
written in C or Go, so that it costs the exporter nothing but the second core.
"""
