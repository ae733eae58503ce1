"""sortie explain: what it says of a mail is what becomes of it."""

import collections
import http.client
import json
import random
import re
import socket
import sqlite3
import urllib.parse

import pytest

from certs import signing_key
from harness import CA, Client, Gateway, free_port, reply_id, wait_for

PROXY = "127.0.0.5"


class Api(http.client.HTTPConnection):
    """The daemon's API over one connection."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)

    def ask(self, method, target, body=b"", **query):
        if query:
            target += "?" + urllib.parse.urlencode(query)
        self.request(method, target, body)
        r = self.getresponse()
        return r.status, json.loads(r.read())


# ---- the property ----------------------------------------------------------

FROMS = ["ann@example.com", "Ann@EXAMPLE.com", "bob@example.com",
         '"ann"@example.com', "cfo@example.com", "x@sub.example.com",
         "u@example.org", "alerts@example.org", "q@far.test", "r@bank.test",
         "s@a.deep.far.test", "t@unknown.test", ""]
TOS = ["b@bank.test", "B@Bank.Test", "cfo@bank.test", "x@far.test",
       "x@a.far.test", "x@a.deep.far.test", "vip@far.test", "z@unknown.test",
       "ann@example.com", "cfo@example.com", "bob@example.com",
       "u@example.org", "no@sendonly.test", "boxes@files.test",
       "w@[192.0.2.1]", "a%b@example.com", "a%b@far.test",
       '"cfo"@example.com', "need@example.com", "new@example.com"]
IPS = ["192.0.2.10", "192.0.2.10", "192.0.2.10", "192.0.2.20", "192.0.2.30", "192.0.2.40",
       "198.51.100.1", "198.51.100.77", "203.0.113.9", "2001:db8::10",
       "2001:db8::99"]
HEADER_FROMS = ["ann@example.com", "cfo@example.com", "boss@example.org",
                "q@far.test", "vip@far.test", "Ann <ann@example.com>",
                "ann@example.com, boss@example.org"]
MORE = ["", "", "", "", "List-Id: <l.example.com>\r\n",
        "Auto-Submitted: auto-replied\r\n", "Precedence: bulk\r\n",
        "TLS-Required: No\r\n", "Received: from x by y\r\n" * 26,
        "From: second@example.com\r\n"]
SCOPES = ["everyone", "internal", "external", "domain:far.test",
          "domain:*.far.test", "domain:*.deep.far.test", "domain:bank.test",
          "domain:example.com", "group:money", "group:few",
          "address:ann@example.com", "address:cfo@example.com",
          "address:vip@far.test", "address:boss@example.org"]


DEFINITIONS = {"com": "example.com", "org": "example.org",
               "ed": "sub.example.com"}


def policies(rng):
    """Some of each type, of every make."""
    made = {}
    for kind, options in (
            ("secure_delivery", [
                {"option": "secure_smtp_where_possible"},
                {"option": "secure_smtp_where_possible",
                 "encryption_mode": "strict_trust_enforced",
                 "untrusted": "defer"},
                {"option": "enforced_tls"},
                {"option": "enforced_tls", "encryption_mode": "relaxed",
                 "ssl_mode": "strong"},
                {"option": "no_tls"},
                {"option": "enforced_tls", "honour": []}]),
            ("secure_receipt", [
                {"option": "secure_smtp_where_possible"},
                {"option": "secure_smtp_where_possible"},
                {"option": "enforced_tls"},
                {"option": "enforced_tls", "tls_version": "1.3"}]),
            ("auto_allow_creation", [
                {"option": "general_aal_entries"},
                {"option": "general_aal_entries"},
                {"option": "general_aal_entries"},
                {"option": "general_aal_entries", "list_mail": True},
                {"option": "do_not_generate"}]),
            ("dns_authentication", [
                {"definition": "com"}, {"definition": ["com", "org"]},
                {"definition": ["org", "com", "ed"]}]),
            ("dns_authentication_inbound", [
                {}, {"spf_fail": "hold"}])):
        made[kind] = []
        for i in range(16 if kind == "secure_delivery" else 10):
            p = {"narrative": f"{kind} {i}", "from": rng.choice(SCOPES),
                 "to": rng.choice(SCOPES), **rng.choice(options)}
            p["based_on"] = rng.choice(
                ["envelope", "envelope", "header", "both"])
            for key, share, value in (
                    ("override", 0.15, True), ("bidirectional", 0.3, True),
                    ("enabled", 0.1, False),
                    ("source_ips", 0.2, ["192.0.2.0/28", "2001:db8::/64"])):
                if rng.random() < share:
                    p[key] = value
            p |= rng.choices([{}, {"valid_to": "2020-01-01T00:00:00Z"},
                              {"valid_from": "2099-01-01T00:00:00Z"}],
                             [8, 1, 1])[0]
            made[kind].append(p)
    # What is signed is about somebody known, most of the time.
    made["dns_authentication"] += [
        {"narrative": "internal", "from": "internal", "to": "everyone",
         "based_on": "both", "definition": ["ed"]},
        {"narrative": "com", "from": "domain:example.com",
         "to": "everyone", "definition": "com"},
        {"narrative": "ann", "from": "address:ann@example.com",
         "to": "everyone", "based_on": "header",
         "definition": ["com", "org"]}]
    made["secure_receipt"].append({
        "narrative": "boss", "from": "address:boss@example.org",
        "to": "everyone", "based_on": "header", "override": True,
        "option": "enforced_tls"})
    return made


Triple = collections.namedtuple(
    "Triple", "name ip sender to header tls required")


def triples(rng, n):
    for i in range(n):
        sender, tls = rng.choice(FROMS), rng.random() < 0.2
        authors = rng.choice(HEADER_FROMS + [sender or "ann@example.com"] * 3)
        header = f"From: {authors}\r\n" if rng.random() < 0.95 else ""
        header += rng.choice(MORE) + "Subject: x\r\n"
        yield Triple(f"t{i}", rng.choice(IPS), sender, rng.choice(TOS),
                     header, tls, tls and rng.random() < 0.3)


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    """A gateway that believes its proxy's word for the client's address, and
    delivers nowhere, so that what it takes stays to be looked at."""
    rng = random.Random(20261124)
    ca = CA(tmp_path_factory.mktemp("ca"))
    port, nobody = free_port(), free_port()
    users = tmp_path_factory.mktemp("users") / "users"
    users.write_text("")
    users.chmod(0o600)
    key = signing_key(users.parent / "dkim.pem")
    g = Gateway(
        tmp_path_factory.mktemp("explain"), ca,
        gateway={"listen": [{"address": f"127.0.0.1:{port}",
                             "proxy": [PROXY]}],
                 "auth_file": str(users)},
        admission={"header_from": "require_internal"},
        limits={"message_rate": "100000/s", "recipient_rate": "100000/s",
                "connection_rate": "100000/s"},
        authorized_outbound=[
            {"network": "192.0.2.0/28"}, {"network": "2001:db8::10"},
            {"network": "192.0.2.20", "require": "certificate",
             "certificate_name": "mail.example.com"},
            {"network": "192.0.2.30", "require": "auth"},
            {"network": "192.0.2.40", "require": "certificate",
             "certificate_name": "mail.example.com"},
            {"network": "192.0.2.40"}],
        internal_domains=[
            {"domain": "example.com", "route": "hq"},
            {"domain": "example.org"},
            {"domain": "files.test", "route": "hq"},
            {"domain": "sendonly.test", "send_only": True}],
        routes=[{"name": "hq", "hosts": [f"127.0.0.9:{nobody}"]}],
        groups=[{"name": "money", "members": ["cfo@example.com",
                                              "cfo@bank.test"]},
                {"name": "few", "members": ["CFO@example.com",
                                            "vip@far.test",
                                            "u@example.org"]}],
        delivery={"retry": ["1h"], "warn_after": "24h"},
        definitions={"dns_authentication": [
            {"name": name, "domain": domain, "selector": name,
             "key_file": key} for name, domain in DEFINITIONS.items()]},
        policies=policies(rng))
    for domain in ("bank.test", "far.test", "a.far.test", "a.deep.far.test",
                   "unknown.test", "example.org"):
        g.settings["resolver"]["local_data"].append(
            f"{domain}. 300 IN A 127.0.0.9")
    g.write()
    g.listen, g.rng, g.ca = port, rng, ca
    g.start()
    yield g
    g.stop()


def come(g, ip, tls):
    to = "2001:db8::1" if ":" in ip else "192.0.2.1"
    c = Client("127.0.0.1", g.listen, source=PROXY,
               prefix=f"PROXY TCP{6 if ':' in ip else 4} {ip} {to} 40000 "
                      "25\r\n".encode())
    if tls:
        c.starttls(g.ca.client_context())
        assert c.ehlo().code == 250
    return c


def send(c, t):
    """(code, enhanced and text without the id, where, id) of the first
    refusal, or of the end."""
    r = c.cmd(f"MAIL FROM:<{t.sender}> ENVID={t.name}"
              + (" REQUIRETLS" if t.required else ""))
    assert r.code == 250, (t, r)
    r, at = c.cmd(f"RCPT TO:<{t.to}>"), "RCPT"
    if r.code == 250:
        assert c.cmd("DATA").code == 354
        r, at = c.content(t.header + "\r\nbody\r\n"), "DATA"
    if r.code != 250 or at == "RCPT":
        assert c.cmd("RSET").code == 250
    text = re.sub(r" \[[A-Za-z0-9_-]+\]$", "", r.lines[-1])
    return r.code, f"{r.code} {text}", at, reply_id(r)


def question(t):
    """The same as explain is asked."""
    q = {"ip": t.ip, "from": t.sender, "to": t.to}
    if t.tls:
        q |= {"tls": "1.3", "cipher": "TLS_AES_256_GCM_SHA384"}
    if t.required:
        q["require_tls"] = "1"
    body = (t.header + "\r\n").encode()
    m = re.fullmatch(r"From: (.*)\r\nSubject: x\r\n", t.header)
    if m and int(t.name[1:]) % 2:
        return q | {"header_from": m.group(1)}, b""
    return q, body


def stored(g):
    """What the queue holds, by ENVID."""
    db, = (g.dir / "state").glob("*.db")
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as c:
        return {row[0]: row[1:] for row in c.execute(
            "SELECT m.envid, r.decision, r.tls, r.learn, r.direction, r.route,"
            " r.sign FROM recipient r JOIN message m ON m.id = r.message")}


DIRECTIONS = ["outbound", "inbound", "internal"]


def check_gone(g, t, o, qid):
    """REQUIRETLS to hosts that nothing vouches for: returned at once, so
    that only the log knows the policies."""
    assert t.required and o["stored"]["tls"].endswith("requiretls"), (t, o)
    line, = wait_for(lambda: g.lines("bounced", qid=qid), 10, t)
    m = re.search(r' policies="((?:[^"\\]|\\.)*)"', line)
    policies = json.loads(json.loads(f'"{m.group(1)}"')) if m else None
    assert o["stored"]["policies"] == policies, (t, line)


def test_explain_agrees_with_what_happens(replica):
    g = replica
    asked = list(triples(g.rng, 1000))
    api = Api(g.dir / "api.sock")
    happened, told = {}, {}
    for place in sorted({(t.ip, t.tls) for t in asked}):
        with come(g, *place) as c:
            for t in asked:
                if (t.ip, t.tls) == place:
                    happened[t.name] = send(c, t)
    for t in asked:
        query, body = question(t)
        status, told[t.name] = api.ask("POST", "/v1/explain", body, **query)
        assert status == 200, (t, told[t.name])
    rows = stored(g)
    for t in asked:
        code, text, at, qid = happened[t.name]
        a = told[t.name]["admission"]
        if code != 250:
            assert (a["code"], a["reply"], a["at"]) == (code, text, at), t
            assert a["verdict"] == "refused" and t.name not in rows, t
            continue
        if t.name not in rows:
            check_gone(g, t, told[t.name], qid)
            continue
        decision, tls, learn, direction, route, sign = rows[t.name]
        assert a["verdict"] == told[t.name]["direction"] == \
            DIRECTIONS[direction], (t, a)
        assert told[t.name]["route"] == route, t
        policies = json.loads(decision) if decision else None
        assert told[t.name]["stored"] == {"policies": policies,
                                          "tls": tls}, t
        winners = {kind: p["winner"]
                   for kind, p in told[t.name]["policies"].items()
                   if p["winner"] is not None}
        assert winners == (policies or {}), t
        assert told[t.name]["mail"]["auto_sender"] == bool(learn), t
        assert told[t.name]["sign"] == [
            {"definition": d, "domain": DEFINITIONS[d], "selector": d}
            for d in (sign.split("\n") if sign else [])], t
        assert (told[t.name]["unsigned"] is None) == bool(sign), t
        # B27, B35: what came from outside never leaves with our name.
        assert not sign or direction != DIRECTIONS.index("inbound"), t
    # The triples were worth it: every way to go was gone often.
    ways = collections.Counter(
        told[n]["admission"]["verdict"] if code == 250 else (at, code)
        for n, (code, _, at, _) in happened.items())
    for way in (*DIRECTIONS, ("RCPT", 451), ("RCPT", 550), ("RCPT", 553),
                ("DATA", 550), ("DATA", 553), ("DATA", 554)):
        assert ways[way] >= 5, ways
    whys = collections.Counter(
        loser["why"] for a in told.values()
        for p in a["policies"].values() for loser in p["losers"])
    assert len(whys) == 10 and min(whys.values()) >= 10, whys
    assert sum(bool(r[2]) for r in rows.values()) >= 10, ways
    signs = collections.Counter(r[5] for r in rows.values())
    assert len(signs) == 5 and min(signs.values()) >= 3, signs
    unsigned = collections.Counter(a["unsigned"] for a in told.values())
    assert len(unsigned) == 5 and min(unsigned.values()) >= 3, unsigned


# ---- what it shows ---------------------------------------------------------

@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    ca = CA(tmp_path_factory.mktemp("ca2"))
    g = Gateway(
        tmp_path_factory.mktemp("shown"), ca,
        admission={"header_from": "require_internal"},
        internal_domains=[{"domain": "example.com", "route": "boxes"}],
        policies={
            "secure_delivery": [
                {"narrative": "All", "from": "everyone", "to": "everyone",
                 "option": "secure_smtp_where_possible"},
                {"from": "everyone", "to": "domain:bank.test",
                 "option": "enforced_tls"},
                {"narrative": "Boss", "from": "address:boss@example.com",
                 "to": "everyone", "based_on": "header",
                 "option": "enforced_tls"}],
            "auto_allow_creation": [
                {"narrative": "Learn", "from": "internal", "to": "external",
                 "option": "general_aal_entries"}]})
    g.mx("bank.test", "127.0.0.2", ("127.0.0.3", "::1"))
    g.start()
    yield g
    g.stop()


BASE = ("explain", "--ip", "127.0.0.1", "--from", "ann@example.com", "--to")


def line_of(g, text):
    lines = g.conf.read_text().splitlines()
    return next(i for i, l in enumerate(lines, 1) if text in l)


def test_text(gateway):
    r = gateway.api(*BASE, "b@bank.test", "--live")
    assert (r.returncode, r.stderr) == (0, "")
    out = re.sub(r"\(line \d+\)|in line \d+|port \d+", "N", r.stdout)
    assert out == """\
admission    admitted
direction    outbound
route        by MX of bank.test
receipt      no policy asks for anything
From field   not given, and it matters here: add --header-from or --message
mail         person, as far as is known without --message; the recipient \
becomes an Auto sender when it is delivered
delivery     TLS with a trusted certificate is required
floor        verified, by policy; the domain may raise it by DANE or MTA-STS

secure_delivery
  wins       secure_delivery N N
  loses      All N: the winner has a more specific To
             Boss N: the sender is not in its From; it looks at the From \
field, which is not known: give --header-from or --message

auto_allow_creation
  wins       Learn N

hosts
   10 mx0.bank.test N
      at 127.0.0.2
      DNSSEC no, DANE none, MTA-STS none
      floor verified, by policy
   20 mx1.bank.test N
      at ::1, 127.0.0.3
      DNSSEC no, DANE none, MTA-STS none
      floor verified, by policy
"""


def test_text_of_a_refusal(gateway):
    r = gateway.api("explain", "--ip", "127.0.0.9", "--null-sender",
                    "--to", "b@bank.test")
    assert (r.returncode, r.stderr) == (1, "")
    assert r.stdout.splitlines()[:4] == [
        "admission    REFUSED at RCPT: 451 4.7.1 Open relay not allowed",
        "direction    none, it is refused",
        "route        by MX of bank.test",
        "receipt      not asked, it is refused before"]


def test_json(gateway):
    r = gateway.api(*BASE, "b@bank.test", "--json")
    o = json.loads(r.stdout)
    assert o["admission"] == {"verdict": "outbound", "code": 0,
                              "reply": None, "reason": None, "at": None}
    assert o["direction"] == "outbound" and o["route"] is None
    delivery = o["policies"]["secure_delivery"]
    all_line = line_of(gateway, '"All"') - 1
    assert delivery["losers"][0] == {
        "narrative": "All", "line": all_line,
        "why": "the winner has a more specific To"}
    assert delivery["winner"] == f"secure_delivery in line {delivery['line']}"
    assert o["tls"]["need"] == "enforced strict"
    assert "hosts" not in o
    r = gateway.api("explain", "--ip", "127.0.0.9", "--from", "a@far.test",
                    "--to", "b@bank.test", "--json")
    assert r.returncode == 1
    assert json.loads(r.stdout)["admission"] == {
        "verdict": "refused", "code": 451,
        "reply": "451 4.7.1 Open relay not allowed", "reason": "relay",
        "at": "RCPT"}


def test_header_from_decides(gateway):
    o = json.loads(gateway.api(*BASE, "b@far.test", "--header-from",
                               "Boss <boss@example.com>", "--json").stdout)
    assert o["policies"]["secure_delivery"]["winner"] == "Boss"
    assert o["header"]["from"] == ["boss@example.com"]
    r = gateway.api(*BASE, "b@far.test", "--header-from", "x@other.test")
    assert r.returncode == 1
    assert "REFUSED at DATA: 550 5.7.1 The From domain" in r.stdout


def test_what_signs(make_gateway, tmp_path):
    key = signing_key(tmp_path / "dkim.pem")
    policy = {"narrative": "Sign", "from": "domain:example.com",
              "definition": ["example.com", "ed"]}
    g = make_gateway(
        definitions={"dns_authentication": [
            {"name": n, "domain": "example.com", "selector": s,
             "key_file": key} for n, s in (("example.com", "s2026"),
                                           ("ed", "e2026"))]},
        policies={"dns_authentication": [policy]})

    def signing(*args, code=0):
        r = g.api("explain", *args)
        assert (r.returncode, r.stderr) == (code, ""), r
        return re.search(r"^signing      (.*)$", r.stdout, re.M).group(1)

    outbound = (*BASE[1:], "b@far.test")
    assert signing(*outbound) == (
        "signs with example.com (domain example.com, selector s2026), "
        "ed (domain example.com, selector e2026)")
    for header, told in (("x@example.com", None), ("x@far.test", None),
                         ("x@example.com, y@far.test", "reader"),
                         ("g:x@example.com;", "reader")):
        answer = signing(*outbound, "--header-from", header)
        assert (answer.startswith("unsigned: not every reader") if told else
                answer.startswith("signs with")), (header, answer)
    inbound = ("--ip", "127.0.0.9", "--from", "a@far.test", "--to",
               "b@example.com")
    assert signing(*inbound) == "unsigned: no policy signs it"
    assert signing("--ip", "127.0.0.9", "--from", "a@far.test", "--to",
                   "b@far.test", code=1) == "unsigned: it is refused"
    g.write(policies={"dns_authentication": [{**policy, "from": "everyone"}]})
    assert g.api("reload").returncode == 0
    assert signing(*inbound) == "unsigned: mail from outside is not signed"


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_message(gateway, tmp_path, end):
    path = tmp_path / "m.eml"
    path.write_bytes(end.join([
        b"From: Boss <boss@example.com>", b"Auto-Submitted: auto-replied",
        b"TLS-Required: No", b"", b"From: not@this.test", b""]))
    r = gateway.api(*BASE, "b@far.test", "--message", str(path), "--json")
    o = json.loads(r.stdout)
    assert r.returncode == 0 and o["header"]["from"] == ["boss@example.com"]
    assert o["mail"] == {"kind": "automatic", "assumed": False,
                         "auto_sender": False}
    assert o["stored"] == {
        "policies": {"secure_delivery": "Boss",
                     "auto_allow_creation": "Learn"},
        "tls": "enforced strict optional"}


def test_message_too_large(gateway, tmp_path):
    path = tmp_path / "m.eml"
    path.write_bytes(b"From: ann@example.com\r\n" +
                     b"X: %s\r\n" % (b"x" * 900) * 300 + b"\r\n")
    r = gateway.api(*BASE, "b@far.test", "--message", str(path))
    assert r.returncode == 1
    assert "REFUSED at DATA: 552 5.3.4 The header is too large" in r.stdout
    path.write_bytes(b"X: %s\n" % (b"x" * 900) * 4000)
    r = gateway.api(*BASE, "b@far.test", "--message", str(path))
    assert r.returncode == 2 and "longer than" in r.stderr


def test_files_and_no_hosts(gateway):
    r = gateway.api(*BASE, "bob@example.com", "--live")
    assert r.returncode == 0 and "direction    internal" in r.stdout
    assert f"route        boxes, files in {gateway.maildir}" in r.stdout
    assert "hosts" not in r.stdout and "floor" not in r.stdout
    r = gateway.api(*BASE, "b@nowhere.test", "--live")
    assert r.returncode == 0
    assert re.search(r"hosts\n  none: .*nowhere\.test", r.stdout)


@pytest.mark.parametrize("args, told", [
    ((), "needs --ip"),
    (("--ip", "127.0.0.1", "--to", "b@far.test"), "--null-sender"),
    ((*BASE[1:], ), "--to"),
    ((*BASE[1:], "b@far.test", "--nonsense"), "--nonsense"),
    ((*BASE[1:], "b@far.test", "--message", "/nonexistent"), "/nonexistent"),
    ((*BASE[1:], "b@far.test", "--message", "/dev/null"), "no header"),
    ((*BASE[1:], "b@far.test", "--message", "/tmp"), "/tmp"),
    ((*BASE[1:], "b@far.test", "--message", "x", "--header-from", "y"),
     "leave out --header-from"),
    ((*BASE[1:], "b@far.test", "--tls", "1.1"), "tls is 1.2 or 1.3"),
    ((*BASE[1:], "b@far.test", "--header-from", "a@x.test\nBcc: b"),
     "one line"),
    ((*BASE[1:], "no address"), "to:"),
    ((*BASE[1:], "b@far.test", "--from", "x"), "from is given"),
    (("--ip", "localhost", "--from", "a@b.test", "--to", "b@far.test"),
     "ip:"),
    ((*BASE[1:], "x" * 2000), "too long"),
])
def test_usage(gateway, args, told):
    r = gateway.api("explain", *args)
    assert r.returncode == 2 and r.stdout == "", r
    assert told in r.stderr and len(r.stderr.splitlines()) == 1


def test_nobody_answers(tmp_path):
    for command in ((*BASE, "b@far.test"), ("tls", "far.test")):
        g = Gateway(tmp_path)
        r = g.api(*command)
        assert r.returncode == 1 and "start sortied" in r.stderr


def test_api_refuses(gateway):
    api = Api(gateway.dir / "api.sock")
    good = {"ip": "127.0.0.1", "from": "", "to": "b@far.test"}
    assert api.ask("POST", "/v1/explain", **good)[0] == 200
    for bad in ({"live": "2"}, {"colour": "red"}, {"cipher": ""},
                {"certificate_name": "a b"}):
        status, body = api.ask("POST", "/v1/explain", **good, **bad)
        assert status == 400 and set(bad) & set(
            re.findall(r"\w+", body["error"])) or "unknown" in body["error"]
    assert api.ask("POST", "/v1/explain", ip="127.0.0.1")[0] == 400
    assert api.ask("GET", "/v1/explain", **good)[0] == 405
    # Any octets are a header.
    status, body = api.ask("POST", "/v1/explain",
                           bytes(range(256)) * 40 + b"\r\n\r\n", **good)
    assert status == 200 and body["admission"]["verdict"] == "refused"


def test_reload_counts_at_once(make_gateway):
    g = make_gateway()
    ask = (*BASE, "b@far.test", "--json")
    assert json.loads(g.api(*ask).stdout)["tls"]["need"] is None
    g.write(policies={"secure_delivery": [
        {"from": "everyone", "to": "everyone", "option": "no_tls"}]})
    assert g.api("reload").returncode == 0
    assert json.loads(g.api(*ask).stdout)["tls"]["need"] == "never"


def test_nothing_is_sent_or_kept(gateway):
    before = json.loads(gateway.api("status", "--json").stdout)
    for _ in range(3):
        gateway.api(*BASE, "b@bank.test", "--live")
    after = json.loads(gateway.api("status", "--json").stdout)
    for key in ("counters", "queue", "sessions"):
        assert before[key] == after[key]
    assert not gateway.lines("accepted")
