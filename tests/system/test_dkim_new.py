"""sortie dkim new: a key whose record is right, in a file that nobody else can
read, and never in place of another."""

import base64
import json
import os
import re
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from harness import BUILD, message

dkim = pytest.importorskip("dkim")


def new(*args, cwd=None, preexec=None):
    return subprocess.run([BUILD / "sortie", "dkim", "new", *args], text=True,
                          capture_output=True, timeout=60, check=False,
                          cwd=cwd, preexec_fn=preexec)


def made(*args, **options):
    r = new(*args, "--json", **options)
    assert r.returncode == 0, r
    return json.loads(r.stdout)


def strings_of(record):
    """What a name server makes of the line: the strings of the record."""
    name, ttl, cls, kind, rest = record.split(None, 4)
    assert (ttl, cls, kind) == ("3600", "IN", "TXT") and name.endswith(".")
    strings = re.findall(r'"([^"]*)"', rest)
    assert all(len(s) <= 255 for s in strings)
    assert (rest.startswith("(") and rest.endswith(" )")) == \
        (len(strings) > 1)
    return name, strings


def public_key(value):
    tags = dict(t.strip().split("=", 1) for t in value.split(";"))
    assert tags["v"] == "DKIM1" and value.startswith("v=DKIM1;")
    octets = base64.b64decode(tags["p"], validate=True)
    if tags["k"] == "ed25519":
        return Ed25519PublicKey.from_public_bytes(octets)
    assert tags["k"] == "rsa"
    return serialization.load_der_public_key(octets)


KINDS = [((), "rsa-sha256", 2048), (("--bits", "1024"), "rsa-sha256", 1024),
         (("--bits=4096",), "rsa-sha256", 4096),
         (("--ed25519",), "ed25519-sha256", 256)]


@pytest.mark.parametrize("args,algorithm,bits", KINDS)
def test_key_and_record(tmp_path, args, algorithm, bits):
    """The record is the other half of the key, by a library of others; mail
    that python3-dkim signs with the file verifies with the record."""
    out = tmp_path / "a.pem"
    o = made("Example.COM.", "--selector", "s1", "--out", str(out), *args)
    assert o["algorithm"] == algorithm and o["bits"] == bits
    assert o["domain"] == "example.com" and o["selector"] == "s1"
    assert o["file"] == str(out) and o["name"] == "s1._domainkey.example.com"
    mode = os.stat(out).st_mode
    assert stat.S_ISREG(mode) and stat.S_IMODE(mode) == 0o600
    name, strings = strings_of(o["record"])
    assert name == o["name"] + "." and "".join(strings) == o["value"]

    private = serialization.load_pem_private_key(out.read_bytes(), None)
    public = public_key(o["value"])
    if algorithm.startswith("rsa"):
        assert private.key_size == bits
        assert private.public_key().public_numbers() == \
            public.public_numbers()
        signature = private.sign(b"x", padding.PKCS1v15(), hashes.SHA256())
        public.verify(signature, b"x", padding.PKCS1v15(), hashes.SHA256())
    else:
        public.verify(private.sign(b"x"), b"x")

    mail = message().encode()
    pem = out.read_bytes()
    if algorithm.startswith("ed25519"):
        # It wants the bare seed.
        pem = base64.b64encode(private.private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
            serialization.NoEncryption()))
    field = dkim.sign(mail, b"s1", b"example.com", pem,
                      signature_algorithm=algorithm.encode())
    records = {o["name"] + ".": o["value"].encode()}
    assert dkim.verify(field + mail,
                       dnsfunc=lambda n, timeout=5: records.get(n.decode()))
    broken = {o["name"] + ".": made(
        "example.com", "--out", str(tmp_path / "b.pem"),
        *args)["value"].encode()}
    assert not dkim.verify(field + mail, dnsfunc=lambda n, timeout=5:
                           broken.get(n.decode()))


def test_words_for_people(tmp_path):
    r = new("example.com", "--selector", "s1", "--out",
            str(tmp_path / "k.pem"))
    assert r.returncode == 0 and r.stderr == ""
    assert "rsa-sha256, 2048 bits" in r.stdout
    zone = re.search(r"^s1\._domainkey\.example\.com\. 3600 IN TXT \((.*?) \)$",
                     r.stdout, re.M | re.S)[1]
    value = re.search(r"^  value  (.*)$", r.stdout, re.M)[1]
    assert "".join(re.findall('"([^"]*)"', zone)) == value
    for line in ('selector = "s1"', 'from = "domain:example.com"',
                 'definition = "example.com-s1"', str(tmp_path / "k.pem")):
        assert line in r.stdout
    assert "PRIVATE" not in r.stdout
    r = new("example.com", "--bits", "1024", "--out",
            str(tmp_path / "w.pem"))
    assert r.returncode == 0 and "weak" in r.stderr


def test_never_in_place_of_another(tmp_path):
    path = tmp_path / "k.pem"
    path.write_text("precious")
    r = new("example.com", "--out", str(path))
    assert r.returncode == 1 and str(path) in r.stderr
    assert "exists" in r.stderr and r.stdout == ""
    assert path.read_text() == "precious"
    link = tmp_path / "link.pem"
    link.symlink_to(tmp_path / "nowhere")
    r = new("example.com", "--out", str(link))
    assert r.returncode == 1 and not (tmp_path / "nowhere").exists()


def test_faults_are_named(tmp_path):
    missing = tmp_path / "no" / "k.pem"
    r = new("example.com", "--out", str(missing))
    assert r.returncode == 1 and str(missing) in r.stderr
    assert "No such file" in r.stderr
    full = "/dev/full/k.pem"
    r = new("example.com", "--out", full)
    assert r.returncode == 1 and full in r.stderr


@pytest.mark.parametrize("args,word", [
    ((), "needs a domain"), (("exa mple.com",), "exa mple.com"),
    (("a.test", "b.test"), "b.test"), (("a.test", "--bits", "1023"), "1024"),
    (("a.test", "--bits", "4097"), "4096"), (("a.test", "--bits", "x"),
                                             "--bits"),
    (("a.test", "--bits", "2048", "--ed25519"), "RSA"),
    (("a.test", "--selector", "a b"), "--selector"),
    (("a.test", "--selector", "x" * 64), "--selector"),
    (("a.test", "--selector"), "--selector"),
    (("a.test", "--other"), "--other"), (("-s", "x", "a.test"), "-s"),
    ((".".join(["x" * 60] * 4), "--selector", "y" * 60), "too long"),
])
def test_usage(tmp_path, args, word):
    r = new(*args, cwd=tmp_path)
    assert r.returncode == 2 and word in r.stderr and r.stdout == ""
    assert not list(tmp_path.iterdir())


def test_beside_the_configuration(make_gateway):
    """Without --out the key goes where the configuration finds it; what is
    printed can be put in as it is; the same selector is refused then."""
    g = make_gateway(start=False)
    o = made("example.com", "-c", str(g.conf), "--selector", "s1")
    path = g.dir / "dkim" / "example.com.s1.pem"
    assert o["file"] == str(path) and path.exists()
    assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
    assert 'key_file = "dkim/example.com.s1.pem"' in o["definition"]
    with open(g.conf, "a", encoding="ascii") as f:
        f.write(f"definitions = {{ dns_authentication = ( {o['definition']} "
                f"); }};\npolicies = {{ dns_authentication = ( {o['policy']} "
                "); };\n")
    r = g.run("check", "-c", str(g.conf))
    assert r.returncode == 0, r
    r = new("example.com", "-c", str(g.conf), "--selector", "S1", "--out",
            str(g.dir / "other.pem"))
    assert r.returncode == 1 and "example.com-s1" in r.stderr
    assert not (g.dir / "other.pem").exists()
    # Another selector goes side by side, and so does one from elsewhere.
    made("example.com", "-c", str(g.conf), "--ed25519")
    r = new("example.com", "-c", "sortie.conf", "--selector", "s3", cwd=g.dir)
    assert r.returncode == 0 and (g.dir / "dkim/example.com.s3.pem").exists()
    assert 'key_file = "dkim/example.com.s3.pem"' in r.stdout


def test_default_selectors(tmp_path):
    rsa = made("example.com", "-c", str(tmp_path / "x.conf"))["selector"]
    ed = made("example.com", "--ed25519", "-c",
              str(tmp_path / "x.conf"))["selector"]
    assert re.fullmatch(r"s20[0-9]{2}(0[1-9]|1[0-2])", rsa), rsa
    assert ed == "e" + rsa[1:]
    assert sorted(p.name for p in (tmp_path / "dkim").iterdir()) == [
        f"example.com.{ed}.pem", f"example.com.{rsa}.pem"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_owner(make_gateway):
    """Root makes it for the daemon's user; others for themselves."""
    g = make_gateway(start=False)
    os.chown(g.dir / "state", 12345, 12346)
    o = made("example.com", "-c", str(g.conf))
    for path in (o["file"], os.path.dirname(o["file"])):
        st = os.stat(path)
        assert (st.st_uid, st.st_gid) == (12345, 12346)
    os.chmod(g.dir, 0o777)
    out = g.dir / "mine.pem"
    r = new("example.org", "-c", str(g.conf), "--out", str(out),
            preexec=lambda: (os.setgid(23456), os.setuid(23456)))
    assert r.returncode in (0, 1)
    if r.returncode == 0:  # the folders above may be closed to it
        assert os.stat(out).st_uid == 23456


def test_published_key_passes(make_gateway):
    """What is printed is published: sortie dns is content with it."""
    g = make_gateway(start=False)
    keys = [made("example.com", "-c", str(g.conf), "--selector", s, *kind)
            for s, kind in (("s1", ()), ("e1", ("--ed25519",)))]
    data = g.settings["resolver"]["local_data"]
    for o in keys:
        name, strings = strings_of(o["record"])
        data.append(f"{name} 300 IN TXT " +
                    " ".join(f'"{s}"' for s in strings))
    g.write(definitions={"dns_authentication": [
        {"name": o["selector"], "domain": "example.com",
         "selector": o["selector"], "key_file": o["file"]} for o in keys]},
        policies={"dns_authentication": [
            {"from": "domain:example.com", "definition": ["s1", "e1"]}]})
    g.start()
    r = g.api("dns", "example.com", "--json")
    domain, = json.loads(r.stdout)["domains"]
    checks = {(c["id"], c["subject"]): c for c in domain["checks"]}
    for o in keys:
        for check in ("dkim.key", "dkim.record", "dkim.match"):
            assert checks[check, o["selector"]]["result"] == "PASS", checks
    assert checks["dkim.policy", ""]["result"] == "PASS"
