"""A CalDAV and CardDAV client of one user."""
import base64
import http.client
import uuid

from ..wire import GENEROUS

_CALENDAR = ("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n%s"
             "END:VCALENDAR\r\n")


def event(uid, text):
    return _CALENDAR % (
        "BEGIN:VEVENT\r\nUID:%s\r\nDTSTAMP:20260101T000000Z\r\n"
        "DTSTART:20270101T100000Z\r\nDTEND:20270101T110000Z\r\n"
        "SUMMARY:%s\r\nEND:VEVENT\r\n" % (uid, text))


def task(uid, text):
    return _CALENDAR % (
        "BEGIN:VTODO\r\nUID:%s\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:%s\r\n"
        "END:VTODO\r\n" % (uid, text))


def card(uid, text):
    return ("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:%s\r\nFN:%s\r\nN:%s;;;;\r\n"
            "END:VCARD\r\n" % (uid, text, text))


KINDS = {"Calendar": ("Calendar/personal", ".ics", event, "text/calendar"),
         "Tasks": ("Calendar/personal", ".ics", task, "text/calendar"),
         "Contacts": ("Contacts/personal", ".vcf", card, "text/vcard")}


class DavClient:
    """@param port  of sogod, or of Apache in front of it"""

    def __init__(self, port, user, password):
        self.port, self.user, self.password = port, user, password

    def say(self, method, path, body=None, type_="text/xml", headers=()):
        """@return (status, body); path is beneath the user's home"""
        secret = base64.b64encode(("%s:%s" % (
            self.user, self.password)).encode()).decode()
        client = http.client.HTTPConnection("127.0.0.1", self.port,
                                            timeout=GENEROUS)
        try:
            client.request(method, "/SOGo/dav/%s/%s" % (self.user, path),
                           body, dict(headers, **{
                               "Authorization": "Basic " + secret,
                               "Host": "mail.example.test",
                               "Content-Type": type_}))
            response = client.getresponse()
            return response.status, response.read()
        finally:
            client.close()

    def put(self, class_, text, item=None):
        """Make or change an item. @return its name"""
        home, suffix, make, type_ = KINDS[class_]
        item = item or str(uuid.uuid4())
        status, body = self.say("PUT", "%s/%s%s" % (home, item, suffix),
                                make(item, text).encode(), type_)
        assert status in (201, 204), (status, body)
        return item

    def delete(self, class_, item):
        home, suffix = KINDS[class_][:2]
        status, body = self.say("DELETE", "%s/%s%s" % (home, item, suffix))
        assert status in (200, 204), (status, body)
