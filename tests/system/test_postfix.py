"""A real Postfix hands the corpus to the gateway over TLS: every octet of the
body and of the original header must come out as it went in."""

import os
import pathlib
import re
import shutil
import smtplib
import subprocess
import tempfile
import time

import pytest

from harness import ROOT, free_port, wait_for

CORPUS = pathlib.Path(os.environ.get(
    "SORTIE_CORPUS", ROOT / ".." / "shared" / "corpus" / "mail"))
POSTFIX = shutil.which("postfix", path="/usr/sbin:/usr/bin:/sbin:/bin")

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

MAIN = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = client.example.com
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
relayhost = [127.0.0.1]:{gateway}
smtp_tls_security_level = encrypt
smtp_tls_loglevel = 1
disable_dns_lookups = yes
smtputf8_enable = yes
smtputf8_autodetect_classes = sendmail, verify
strict_smtputf8 = no
disable_mime_output_conversion = yes
always_add_missing_headers = no
message_drop_headers = bcc
message_size_limit = 0
header_size_limit = 1024000
smtp_line_length_limit = 0
remote_header_rewrite_domain =
local_header_rewrite_clients =
minimal_backoff_time = 2s
queue_run_delay = 2s
in_flow_delay = 0
"""


class Postfix:
    def __init__(self, path, gateway_port):
        self.dir = pathlib.Path(path)
        self.port = free_port()
        self.dir.chmod(0o755)  # the user postfix must get in
        (self.dir / "queue").mkdir()
        (self.dir / "data").mkdir()
        shutil.chown(self.dir / "data", "postfix")
        (self.dir / "main.cf").write_text(
            MAIN.format(dir=self.dir, gateway=gateway_port))
        (self.dir / "master.cf").write_text(MASTER.format(port=self.port))
        r = self.command("start", check=False)
        assert r.returncode == 0, r.stderr + self.log()

    def command(self, *args, check=True):
        return subprocess.run(
            [POSTFIX, "-c", str(self.dir), *args], check=check, timeout=60,
            capture_output=True, text=True)

    def log(self):
        path = self.dir / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self):
        self.command("stop", check=False)


def corpus():
    """{name: octets as a client would send them}"""
    found = {}
    for path in sorted(CORPUS.glob("*.eml")):
        data = re.sub(rb"\r\n|\r|\n", b"\n", path.read_bytes())
        data = re.sub(rb"\A>?From [^\n]*\n", b"", data)
        if not data.endswith(b"\n"):
            data += b"\n"
        found[path.stem] = separated(data).replace(b"\n", b"\r\n")
    return found


def separated(data):
    """With the empty line that Postfix puts where the header is cut short."""
    at = 0
    for line in data.splitlines(keepends=True):
        if line == b"\n":
            break
        if not re.match(rb"[ \t]|[!-9;-~]+[ \t]*:", line):
            return data[:at] + b"\n" + data[at:]
        at += len(line)
    return data


def fields(data):
    """(header fields with their octets, body)"""
    head, _, body = data.partition(b"\r\n\r\n")
    if data.startswith(b"\r\n"):
        head, body = b"", data[2:]
    return re.findall(rb"[^\r\n][^\n]*\n(?:[ \t][^\n]*\n)*",
                      head + b"\r\n"), body


ADDED = re.compile(rb"(?i)(received|message-id|date):")


def differs(sent, got):
    """None when what was sent came out unharmed: only fields on top, and the
    ones that Postfix adds, may be new."""
    head, body = fields(sent)
    now, now_body = fields(got)
    if body != now_body:
        return "body"
    at = len(now) - len(head)
    if at >= 0 and now[at:] == head:
        return None
    left = list(now)
    for field in head:
        while left and left[0] != field:
            left.pop(0)
        if not left:
            return f"field {field[:70]!r}"
        left.pop(0)
    return None if all(ADDED.match(f) for f in left) else f"more {left!r}"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="no corpus")
@pytest.mark.skipif(POSTFIX is None, reason="no Postfix")
@pytest.mark.skipif(os.geteuid() != 0, reason="Postfix starts as root")
def test_corpus_through_postfix(make_gateway, make_sink, ca, request):
    mails = corpus()
    assert mails
    g = make_gateway(start=False, admission={"header_from": "allow"})
    g.mx("partner.test", "127.0.0.2")
    sink = make_sink("127.0.0.2", g.mx_port,
                     tls=ca.server_context("mx0.partner.test"))
    g.start()
    # not below tmp_path, whose parents only their owner may search
    spool = tempfile.mkdtemp(prefix="postfix.")
    request.addfinalizer(lambda: shutil.rmtree(spool))
    postfix = Postfix(spool, g.port)
    try:
        wait_for(lambda: "daemon started" in postfix.log(), 20, "postfix")
        with smtplib.SMTP("127.0.0.1", postfix.port, timeout=30) as c:
            c.ehlo("client.example.com")
            for i, data in enumerate(mails.values()):
                c.mail("a@example.com", ["BODY=8BITMIME"])
                assert c.rcpt(f"m{i}@partner.test")[0] == 250
                code, text = c.data(data)
                assert code == 250, text
        end = time.monotonic() + 40
        while len(sink.messages) < len(mails) and time.monotonic() < end:
            time.sleep(0.1)
        log = postfix.log()
    finally:
        postfix.stop()
    names = list(mails)
    got = {}
    for m in sink.messages:
        for rcpt, _ in m.rcpts:
            if re.fullmatch(r"m\d+@partner.test", rcpt):
                got.setdefault(names[int(rcpt[1:].split("@")[0])],
                               []).append(m)
    bad = [f"{n}: {len(got.get(n, []))} copies" for n in names
           if len(got.get(n, [])) != 1]
    for name, messages in got.items():
        why = differs(mails[name], messages[0].data)
        if why is not None:
            bad.append(f"{name}: {why}")
        if messages[0].tls is None:
            bad.append(f"{name}: clear text")
    refused = [l for l in log.splitlines()
               if re.search(r"status=(?!sent)|warning|fatal", l)]
    assert not bad, "\n".join(bad + refused[:40])
    assert re.search(r"TLS connection established to 127\.0\.0\.1", log)
