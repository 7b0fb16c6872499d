"""Bytes of one exchange, counted as they come over a phone's connection."""
from dp.phone import Phone

# As long as it takes on a slow machine until the module knows of the mailbox
TRIES = 20


def quiet_answer(site):
    """A Ping that ends without news, on a plain connection.
    @return {"bytes": of the answer, headers included, "text": its head}"""
    phone = Phone(site.httpd.endpoint(False, "localhost"), "user0", "secret")
    try:
        phone.foldersync()
        phone.sync_until_done("INBOX")
        for _ in range(TRIES):
            wire = phone.connection()
            before = len(wire.received)
            answer = phone.ping(["INBOX"], 1)
            if answer.status == 1:
                got = bytes(wire.received[before:])
                return {"bytes": len(got), "text": got.partition(
                    b"\r\n\r\n")[0].decode("latin-1")}
            if answer.status == 7:
                phone.foldersync()
            else:
                phone.sync_until_done("INBOX")
        raise AssertionError("no Ping ends without news; the last answer is %r"
                             % answer)
    finally:
        phone.close()
