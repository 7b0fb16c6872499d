"""The tests' own WBXML: against the captured bytes of real servers, the
specification's examples, and libwbxml as a second opinion."""
import glob
import os
import shutil
import subprocess

import pytest

from dp import wbxml
from dp.process import REPO

CAPTURES = os.path.join(REPO, "tests", "captures")


def dechunk(data):
    out = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        if size == 0:
            return out
        out, data = out + data[:size], data[size + 2:]


def bodies():
    """(name, head, body) of all captured requests and responses."""
    for path in sorted(glob.glob(os.path.join(CAPTURES, "*", "*.re*"))):
        with open(path, "rb") as f:
            head, _, body = f.read().partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            body = dechunk(body)
        yield os.path.relpath(path, CAPTURES), head, body


def documents():
    return [(name, body) for name, head, body in bodies()
            if body.startswith(wbxml.HEADER)]


def test_every_captured_document_decodes_and_encodes_to_the_same_bytes():
    found = documents()
    assert len(found) > 100
    for name, body in found:
        assert wbxml.encode(wbxml.decode(body)) == body, name


def test_no_tag_of_a_captured_document_is_unknown():
    for name, body in documents():
        for node in wbxml.decode(body).walk():
            assert "tok_" not in node.name, (name, node.name)


def test_captured_answers_say_what_the_readme_says():
    of = dict(documents())
    ping = wbxml.PingAnswer(of["sogo/20-ping-change.resp"])
    assert (ping.status, len(ping.folders)) == (2, 1)
    assert ping.folders[0].startswith("mail%2F")
    assert wbxml.PingAnswer(of["sogo/19-ping-expires.resp"]).status == 1
    assert wbxml.PingAnswer(
        of["sogo/06-ping-empty-no-cache.resp"]).status == 3
    ping = wbxml.PingAnswer(of["sogo/25-ping-heartbeat-too-large.resp"])
    assert (ping.status, ping.heartbeat) == (5, 40)
    folders = wbxml.FoldersAnswer(of["sogo/07-foldersync-initial.resp"])
    assert (folders.status, folders.count, len(folders.adds)) == (1, 9, 9)
    assert folders.adds[0]["name"] == "INBOX"
    assert folders.adds[0]["type"] == 2
    assert wbxml.FoldersAnswer(
        of["zpush/09-foldersync-bad-key.resp"]).status == 9
    sync = wbxml.SyncAnswer(of["zpush/12-sync-more-available.resp"])
    one = sync.collections["2edb5446"]
    assert one["more"] and one["status"] == 1
    assert [i["Subject"] for i in one["adds"].values()] == ["batch 0",
                                                           "batch 1"]
    assert wbxml.SyncAnswer(of["zpush/37-sync-bad-key.resp"]).collections[
        "2edb5446"]["status"] == 3
    assert wbxml.SyncAnswer(of["sogo/18-sync-empty-body.resp"]).status == 13


@pytest.mark.parametrize("built, expected", [
    (wbxml.ping_request(480, [("5", "Email")]),
     "03016a00000d4548033438300001494a4b033500014c03456d61696c0001010101"),
    (wbxml.foldersync_request("0"), "03016a00000756520330000101"),
    (wbxml.encode(wbxml.P("Ping", wbxml.P("Status", 1))),
     "03016a00000d45470331000101"),
    (wbxml.encode(wbxml.P("Ping", wbxml.P("Status", 2), wbxml.P(
        "Folders", wbxml.P("Folder", "5")))),
     "03016a00000d4547033200" "01494a0335000101" "01"),
    (wbxml.encode(wbxml.P("Ping", wbxml.P("Status", 5),
                          wbxml.P("HeartbeatInterval", 3540))),
     "03016a00000d4547033500" "0148033335343000" "0101"),
])
def test_vectors_of_the_specification(built, expected):
    assert built.hex() == expected


def test_text_comes_as_string_as_opaque_and_in_pieces():
    for content in ("48 03 343830 00 01", "48 c3 03 343830 01",
                    "48 03 34 00 03 3830 00 01", "48 03 34 00 c3 02 3830 01"):
        doc = bytes.fromhex("03 01 6a 00 00 0d 45" + content + "01")
        assert wbxml.decode(doc).get("HeartbeatInterval") == "480", content


def test_redundant_switches_and_empty_elements_are_no_trouble():
    doc = bytes.fromhex("03 01 6a 00 00 00 00 0d 45 00 0d 47 03 31 00 01 09"
                        "00 0d 01")
    root = wbxml.decode(doc)
    assert [c.name for c in root.children] == ["Ping:Status", "Ping:Folders"]


@pytest.mark.parametrize("damaged", [
    "", "03", "03016a", "02016a0045", "03016a04616263004501",
    "03016a00", "03016a0001", "03016a0003610001", "03016a0045",
    "03016a00454e0331", "03016a00454ec30531", "03016a004504", "03016a00c5",
    "03016a00000d450145", "03016a00001f45",
    "03016a00454ec3ffffffffff7f31",
])
def test_damage_is_noticed(damaged):
    with pytest.raises(wbxml.WbxmlError):
        wbxml.decode(bytes.fromhex(damaged))


def test_depth_is_bounded():
    with pytest.raises(wbxml.WbxmlError, match="deeper"):
        wbxml.decode(wbxml.HEADER + b"\x45" * 10000)


@pytest.mark.skipif(not shutil.which("wbxml2xml"),
                    reason="libwbxml2-utils is not installed")
def test_libwbxml_reads_what_we_write(tmp_path):
    """A third opinion on Ping, FolderSync and Sync requests."""
    for body, expected in (
            (wbxml.ping_request(480, [("mail%2Fabc", "Email")]),
             [b"<HeartbeatInterval>480</HeartbeatInterval>",
              b"<Id>mail%2Fabc</Id>", b"<Class>Email</Class>"]),
            (wbxml.foldersync_request("{x}7"), [b"FolderSync", b"{x}7"]),
            (wbxml.sync_request([wbxml.sync_collection(
                "5", "{k}3", get_changes=0, window=25, filter_type=3,
                deletes_as_moves=False)]),
             [b"<SyncKey>{k}3</SyncKey>", b"<CollectionId>5</CollectionId>",
              b"<GetChanges>0</GetChanges>", b"<WindowSize>25</WindowSize>",
              b"<FilterType>3</FilterType>"])):
        source = tmp_path / "a.wbxml"
        source.write_bytes(body)
        done = subprocess.run(
            ["wbxml2xml", "-l", "ACTIVESYNC", "-o", "-", str(source)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        for text in expected:
            assert text in done.stdout, (text, done.stdout)
