"""A real Postfix hands mail to the gateway over TLS, and the gateway hands it
to another real Postfix over TLS: what lands in the maildirs must be what left
the first one, octet for octet, and toward a hop of 7 bits what is decoded from
it (checklist B01, B31, C46, C47). Runs all messages of corpus.py."""

import collections
import concurrent.futures
import contextlib
import email
import os
import pathlib
import pwd
import re
import shutil
import smtplib
import sys
import tempfile
import time

import pytest

from corpus import CORPORA, MAILS, SHARED
from harness import ROOT, Gateway, free_port

sys.path.append(str(ROOT / "tests"))
from postfix import PostfixInstance  # noqa: E402, it stands in tests/

SENDER = "a@example.com"
COPY = "copy.test"  # the client keeps one of each, as it sends it

# Domain: address and settings of its exchanger, a listener of the sink.
EXCHANGERS = {
    "partner.test": ("127.0.0.2", {}),  # offers all of it: BDAT
    "encrypt.test": ("127.0.0.3", {  # DATA, with dots doubled
        "smtpd_tls_security_level": "encrypt",
        "smtpd_discard_ehlo_keywords": "chunking"}),
    "seven.test": ("127.0.0.4", {
        "smtpd_discard_ehlo_keywords": "8bitmime, chunking, smtputf8"}),
}

# What may not be converted, and so must bounce toward seven.test: status and
# reason. All other mail has to arrive, everywhere.
EIGHT_BIT_HEADER = (r"5\.6\.[379]", "8-bit octets in a header|SMTPUTF8")
BOUNCES = {
    "own/signed-eight-bit": (r"5\.6\.3", "a signed part must not be converted"),
    "own/utf8-header": EIGHT_BIT_HEADER,
    "shared/ruby-mail--attachment_nonascii_filename": (
        r"5\.6\.3", "Content-Type parameters that cannot be read"),
    "shared/ruby-mail--attachment_pdf": EIGHT_BIT_HEADER,
    "shared/ruby-mail--encoding_madness": EIGHT_BIT_HEADER,
    "shared/ruby-mail--utf8_headers": EIGHT_BIT_HEADER,
}

# Neither end may change a message on its own account.
PLAIN = {
    "inet_interfaces": "127.0.0.1",
    "local_header_rewrite_clients": "",
    "remote_header_rewrite_domain": "",
    "message_drop_headers": "",
    "header_size_limit": 1024000,
    "message_size_limit": 0,
    "mailbox_size_limit": 0,
    "virtual_mailbox_limit": 0,
    "strict_smtputf8": "no",
}


each_corpus = pytest.mark.parametrize(
    "corpus", CORPORA, ids=[f"{c}-{len(m)}" for c, m in CORPORA.items()])


def boxes(path):
    """Settings for delivery by virtual(8) into the maildir path/all."""
    nobody = pwd.getpwnam("nobody")
    path.mkdir()
    shutil.chown(path, nobody.pw_uid, nobody.pw_gid)
    return {
        "virtual_mailbox_base": path,
        "virtual_mailbox_maps": "static:all/",
        "virtual_uid_maps": f"static:{nobody.pw_uid}",
        "virtual_gid_maps": f"static:{nobody.pw_gid}",
    }


# ---- what lies in a maildir ------------------------------------------------

TOP = re.compile(rb"Return-Path: <(.*)>\nX-Original-To: (.*)\n"
                 rb"Delivered-To: \2\n")
RECEIVED = re.compile(rb"Received: .*\n(?:[ \t].*\n)*")
Boxed = collections.namedtuple("Boxed", "sender name domain data")


def boxed(path, names):
    """The messages below path, less what the last delivery put on top."""
    for file in sorted((path / "all" / "new").glob("*")):
        data = file.read_bytes()
        top = TOP.match(data)
        assert top, data[:500]
        sender, rcpt = (t.decode() for t in top.groups())
        number = re.fullmatch(r"m(\d+)@([a-z.]+)", rcpt)
        assert number, rcpt
        yield Boxed(sender, names[int(number[1])], number[2],
                    data[top.end():])


Arrival = collections.namedtuple("Arrival", "sink gateway data")


def arrival(data):
    """The two Received fields on top, and what is below them."""
    sink = RECEIVED.match(data)
    assert sink, data[:500]
    gateway = RECEIVED.match(data, sink.end())
    assert gateway, data[:800]
    return Arrival(sink[0].decode(), gateway[0].decode(),
                   data[gateway.end():])


# ---- the run that all tests look at ----------------------------------------

class Relayed:
    """Everything went from client by gateway to sink, and all have ended."""

    def __init__(self, spool, gateway, ca):
        self.gateway = gateway
        names = list(MAILS)
        self.client = PostfixInstance(
            spool / "client", {f"127.0.0.1:{free_port()}": {}}, PLAIN | {
                "myhostname": "client.example.com",
                "relayhost": f"[127.0.0.1]:{gateway.port}",
                "smtp_tls_security_level": "verify",
                "smtp_tls_verify_cert_match": "gw.example.net",
                "smtp_tls_CAfile": ca.file,
                "smtp_tls_loglevel": 1,
                "smtp_line_length_limit": 0,
                "smtputf8_autodetect_classes": "verify",
                "virtual_mailbox_domains": COPY,
            } | boxes(spool / "copies"))
        cert, key = ca.issue(*(f"mx0.{d}" for d in EXCHANGERS))
        self.sink = PostfixInstance(
            spool / "sink", {f"{address}:{gateway.mx_port}": own
                             for address, own in EXCHANGERS.values()},
            PLAIN | {
                "myhostname": "sink.partner.test",
                "smtpd_relay_restrictions": "reject_unauth_destination",
                "smtpd_tls_security_level": "may",
                "smtpd_tls_cert_file": cert,
                "smtpd_tls_key_file": key,
                "smtpd_tls_received_header": "yes",
                "virtual_mailbox_domains": " ".join(EXCHANGERS),
            } | boxes(spool / "boxes"))
        with contextlib.ExitStack() as ends:
            ends.callback(gateway.stop)
            ends.callback(self.stop)
            self.both(PostfixInstance.start)
            gateway.start()
            self.refused = self.send()
            self.wait(spool / "boxes" / "all" / "new")
        self.sent = {}
        for m in boxed(spool / "copies", names):
            assert m.domain == COPY and m.name not in self.sent
            self.sent[m.name] = m.data
        self.arrived = collections.defaultdict(list)
        for m in boxed(spool / "boxes", names):
            assert m.sender == SENDER
            self.arrived[m.domain, m.name].append(arrival(m.data))

    def both(self, do):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return list(pool.map(do, [self.client, self.sink]))

    def stop(self):
        self.stopped_well = self.both(PostfixInstance.stop)

    def send(self):
        """Puts all into the client; {name: reply} of what it does not take."""
        refused = {}
        address, port = next(iter(self.client.listeners)).split(":")
        with smtplib.SMTP(address, int(port), timeout=30) as c:
            c.ehlo("tests.example.com")
            for i, (name, data) in enumerate(MAILS.items()):
                options = ["BODY=8BITMIME"]
                if wants_smtputf8(data):
                    options.append("SMTPUTF8")
                replies = [c.mail(SENDER, options)]
                replies += [c.rcpt(f"m{i}@{d}") for d in [COPY, *EXCHANGERS]]
                replies.append(c.data(data.replace(b"\n", b"\r\n")))
                refused |= {name: r for r in replies if r[0] != 250}
        return refused

    def wait(self, new):
        """Until nothing is under way any more."""
        def settled():
            return len([l for l in self.gateway.log if re.search(
                r" event=(delivered|bounced) .* to=m\d+@", l)])
        end = time.monotonic() + 60
        while settled() < len(MAILS) * len(EXCHANGERS) and \
                time.monotonic() < end:
            time.sleep(0.05)
        wanted = settled() - len(self.bounced())
        while len(os.listdir(new)) < wanted and time.monotonic() < end:
            time.sleep(0.05)

    def bounced(self):
        return [l for l in self.gateway.log if " event=bounced " in l]

    def one(self, domain, name):
        """What arrived, having checked how it came."""
        found = self.arrived[domain, name]
        assert len(found) == 1, f"{len(found)} arrived"
        assert "using TLSv1.3 with cipher " in found[0].sink, found[0].sink
        assert "by gw.example.net with ESMTPS" in found[0].gateway or \
            "by gw.example.net with UTF8SMTPS" in found[0].gateway
        assert "(TLSv1.3 " in found[0].gateway
        return found[0].data


def wants_smtputf8(data):
    head = data.partition(b"\n\n")[0]
    try:
        return not head.isascii() and head.decode() != ""
    except UnicodeDecodeError:
        return False


@pytest.fixture(scope="module")
def relayed(tmp_path_factory, ca):
    gateway = Gateway(tmp_path_factory.mktemp("gw"), ca,
                      admission={"header_from": "allow"})
    for domain, (address, _) in EXCHANGERS.items():
        gateway.mx(domain, address)
    # not below tmp_path, whose parents only their owner may search
    spool = pathlib.Path(tempfile.mkdtemp(prefix="postfix."))
    spool.chmod(0o755)
    try:
        yield Relayed(spool, gateway, ca)
    finally:
        shutil.rmtree(spool)


# ---- comparing -------------------------------------------------------------

def is_7bit(data):
    return data.isascii() and b"\0" not in data and \
        max(map(len, data.split(b"\n"))) <= 998


def same_octets(sent, got):
    if sent != got:
        at = len(os.path.commonprefix([sent, got]))
        raise AssertionError(f"octet {at}: sent {sent[at - 30:at + 50]!r}, "
                             f"arrived {got[at - 30:at + 50]!r}")


def parts(message):
    """[(fields less the encoding, text around the parts, content)]"""
    found = []
    for part in message.walk():
        fields = [(k.lower(), v) for k, v in part.raw_items()
                  if k.lower() != "content-transfer-encoding"]
        content = None
        if not part.is_multipart():
            content = part.get_payload(decode=True)
            content = content.replace(b"\r\n", b"\n")
        found.append((fields, (part.preamble, part.epilogue), content))
    return found


ADDED = {"mime-version": "1.0",
         "content-type": "text/plain; charset=unknown-8bit"}


def same_content(sent, got):
    """What is decoded is what was sent, and it has come to 7 bits."""
    assert is_7bit(got)
    before = parts(email.message_from_bytes(sent))
    after = parts(email.message_from_bytes(got))
    assert len(before) == len(after)
    for (fields, around, content), (now, now_around, now_content) in zip(
            before, after):
        new = [f for f in now if f not in fields]
        assert all(ADDED.get(k) == v for k, v in new), new
        assert [f for f in now if f not in new] == fields
        assert now_around == around
        assert now_content == content


def check(corpus, one):
    """Runs one(name) for each of a corpus, and tells all that failed."""
    bad = []
    names = [n for n in MAILS if n.startswith(corpus + "/")]
    assert names, f"no messages in {SHARED}"
    for name in names:
        try:
            one(name)
        except AssertionError as why:
            bad.append(f"{name}: {why}")
    assert not bad, "\n".join(bad)


# ---- tests -----------------------------------------------------------------

def test_which_mail_was_relayed(relayed, capsys):
    ours, more = CORPORA["own"], CORPORA.get("shared")
    bounced = [n for n in MAILS if n in BOUNCES]
    with capsys.disabled():
        print(f"\ntest_postfix.py relayed {len(ours)} messages of our own and",
              f"none of {SHARED}: not there" if more is None else
              f"{len(more)} of {SHARED}")
        print("which a hop of 7 bits must not get:", *bounced)
    assert relayed.refused == {}
    assert set(relayed.sent) == set(MAILS)


@each_corpus
def test_the_client_sends_what_it_was_given(relayed, corpus):
    def one(name):
        body = MAILS[name].partition(b"\n\n")[2]
        assert relayed.sent[name].endswith(body)
    check(corpus, one)


@each_corpus
@pytest.mark.parametrize("domain", ["partner.test", "encrypt.test"])
def test_every_octet_arrives_over_tls(relayed, domain, corpus):
    def one(name):
        sent, got = relayed.sent[name], relayed.one(domain, name)
        if max(map(len, sent.split(b"\n"))) > 998:
            same_content(sent, got)  # RFC 5321 4.5.3.1.6: no hop must take it
        else:
            same_octets(sent, got)
    check(corpus, one)


def test_bdat_where_it_is_offered(relayed):
    # Postfix says how many octets came by BDAT
    for domain in EXCHANGERS:
        lines = [l for l in relayed.gateway.lines("delivered")
                 if f"@{domain} " in l]
        assert lines
        for line in lines:
            assert (' reply="Ok: ' in line) and \
                (" bytes queued as " in line) == (domain == "partner.test")


@each_corpus
def test_hop_without_8bitmime_gets_the_same_content(relayed, corpus):
    def one(name):
        if name in BOUNCES:
            assert relayed.arrived["seven.test", name] == []
            return
        sent, got = relayed.sent[name], relayed.one("seven.test", name)
        (same_octets if is_7bit(sent) else same_content)(sent, got)
    check(corpus, one)


def test_what_bounces_is_known_by_name(relayed):
    wanted = {f"m{i}@seven.test": BOUNCES[name]
              for i, name in enumerate(MAILS) if name in BOUNCES}
    reports = {}
    for data in relayed.gateway.boxed():
        to = re.search(rb"\nFinal-Recipient: [^;]*; ?(\S+)", data)
        assert to and to[1].decode() not in reports, data
        reports[to[1].decode()] = data.decode("utf-8", "replace")
    assert set(reports) == set(wanted)
    assert len(relayed.bounced()) == len(wanted)
    for rcpt, (status, why) in wanted.items():
        assert re.search(rf"\nStatus: {status}\n",
                         reports[rcpt].replace("\r", "")), reports[rcpt]
        assert re.search(why, reports[rcpt]), reports[rcpt]
        assert [l for l in relayed.bounced() if f" to={rcpt} " in l and
                re.search(rf" dsn={status} .*{why}", l)], rcpt


def test_neither_postfix_is_unhappy(relayed):
    for postfix in (relayed.client, relayed.sink):
        log = postfix.log()
        bad = [l for l in log.splitlines() if re.search(
            r"status=(?!sent)|warning|fatal|error|panic", l)
            # Of a machine whose clock was put right meanwhile.
            and not re.search("file system clock|file time stamps", l)]
        assert not bad, "\n".join(bad)
        assert not [f for q in ("incoming", "active", "deferred")
                    for f in (postfix.queue / q).rglob("*") if f.is_file()]
    assert "Verified TLS connection established to 127.0.0.1" in \
        relayed.client.log()
    assert relayed.stopped_well == [True, True]
