"""A great many Pings, which end in all the ways there are.

`site` is Apache with one child, directpushd and a backend that costs nothing;
`crowd` is the phones: changes, ends of heartbeats, hang-ups, newer Pings;
`growth` judges memory, `memcheck` what valgrind says.
"""
