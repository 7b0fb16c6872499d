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


_ALL = {"Calendar": ("PublicViewer", "PrivateViewer", "ConfidentialViewer",
                     "ObjectCreator", "ObjectEraser"),
        "Contacts": ("ObjectViewer", "ObjectEditor", "ObjectCreator")}
_SOGO = 'xmlns="urn:inverse:params:xml:ns:inverse-dav"'

KINDS = {"Calendar": ("Calendar/personal", ".ics", event, "text/calendar"),
         "Tasks": ("Calendar/personal", ".ics", task, "text/calendar"),
         "Contacts": ("Contacts/personal", ".vcf", card, "text/vcard")}


class DavClient:
    """@param port  of sogod, or of Apache in front of it"""

    def __init__(self, port, user, password):
        self.port, self.user, self.password = port, user, password

    def say(self, method, path, body=None, type_="text/xml", headers=(),
            of=None):
        """@return (status, body); path is beneath the home of the user, or of
        somebody else"""
        secret = base64.b64encode(("%s:%s" % (
            self.user, self.password)).encode()).decode()
        client = http.client.HTTPConnection("127.0.0.1", self.port,
                                            timeout=GENEROUS)
        try:
            client.request(method, "/SOGo/dav/%s/%s" % (
                of or self.user, path),
                           body, dict(headers, **{
                               "Authorization": "Basic " + secret,
                               "Host": "mail.example.test",
                               "Content-Type": type_}))
            response = client.getresponse()
            return response.status, response.read()
        finally:
            client.close()

    def share(self, path, friend):
        """Let him read what is there. @param path  Calendar/personal"""
        roles = "".join("<%s/>" % r for r in _ALL[path.split("/")[0]])
        status, body = self.say(
            "POST", path + "/", '<acl-query %s><set-roles user="%s">%s'
            "</set-roles></acl-query>" % (_SOGO, friend, roles),
            "application/xml")
        assert status == 204, (status, body)

    def subscribe(self, owner, path, reverse=False):
        """To what somebody else has there; or no longer."""
        status, body = self.say(
            "POST", path + "/", "<%ssubscribe %s/>" % (
                "un" if reverse else "", _SOGO), "application/xml", of=owner)
        assert status == 200, (status, body)

    def put(self, class_, text, item=None, home=None):
        """Make or change an item. @return its name"""
        usual, suffix, make, type_ = KINDS[class_]
        home = home or usual
        item = item or str(uuid.uuid4())
        status, body = self.say("PUT", "%s/%s%s" % (home, item, suffix),
                                make(item, text).encode(), type_)
        assert status in (201, 204), (status, body)
        return item

    def delete(self, class_, item):
        home, suffix = KINDS[class_][:2]
        status, body = self.say("DELETE", "%s/%s%s" % (home, item, suffix))
        assert status in (200, 204), (status, body)
