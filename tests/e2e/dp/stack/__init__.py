"""SOGo, Dovecot, PostgreSQL and memcached as private instances on loopback:
the servers that phones' administrators run. servers.py starts each, shared.py
lets all tests of a session use one set, site.py puts Apache in front."""
