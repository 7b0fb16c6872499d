"""What the end-to-end tests of mod_directpush are made of.

`wbxml` and `phone` are the device's side, written from the specification and
sharing nothing with the C code; `httpd`, `watcher`, `backend` and `maildir`
put a private server together on loopback; `site` wires them.
"""
