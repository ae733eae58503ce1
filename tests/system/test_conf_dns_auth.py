"""DNS authentication in the configuration, as an administrator meets it:
errors by name, warnings, the dump, a reload (checklist B37, A3.16)."""

import os
import re
import subprocess

import pytest

from certs import signing_key
from harness import BUILD, Gateway

ADMIT = {"header_from": "require_internal"}


def definition(key, **more):
    return {"name": "com", "domain": "example.com", "selector": "s2026",
            "key_file": key, **more}


@pytest.fixture
def key(tmp_path):
    return signing_key(tmp_path / "dkim.pem")


def gateway(tmp_path, definitions, policies=({"definition": "com"},), **more):
    return Gateway(tmp_path / "gw", admission=ADMIT,
                   definitions={"dns_authentication": definitions},
                   policies={"dns_authentication": list(policies)}, **more)


def check(g, *args):
    """Exit status, output, and findings without what they all begin with."""
    r = g.run("check", "-c", g.conf, *args)
    found = re.findall(rf"^{re.escape(str(g.conf))}:(\d+): (.*)$", r.stderr,
                       re.M)
    assert len(found) == len(r.stderr.splitlines()), r.stderr
    return r.returncode, r.stdout, [
        (int(line), text) for line, text in found
        if "gateway.certificate is not given" not in text]


def line_of(g, text):
    lines = g.conf.read_text().splitlines()
    return next(i for i, line in enumerate(lines, 1) if text in line)


def test_good(tmp_path, key):
    g = gateway(tmp_path, [definition(key)])
    assert check(g)[0::2] == (0, [])
    r = subprocess.run([BUILD / "sortied", "-n", "-c", g.conf], check=False,
                       capture_output=True, text=True)
    assert r.returncode == 0


@pytest.mark.parametrize("kind, mode, told", [
    (512, 0o600, "an RSA key of 512 bits is too short"),
    (1000, 0o600, "an RSA key of 1000 bits is too short"),
    (5120, 0o600, "is longer than receivers need to verify"),
    ("ec", 0o600, "is neither an RSA nor an Ed25519 key but EC"),
    ("encrypted", 0o600, "holds a key with a passphrase"),
    ("ed25519", 0o604, "is open to others; run chmod o= on it"),
    ("ed25519", 0o644, "is open to others; run chmod o= on it"),
    ("ed25519", 0o620, "is writable by its group; run chmod g-w on it"),
    ("missing", 0, "No such file or directory; make the key with sortie dkim "
                   "new DOMAIN"),
    ("folder", 0, "is not a regular file"),
    ("text", 0o600, "holds no PEM private key"),
])
def test_bad_key(tmp_path, kind, mode, told):
    path = tmp_path / "keys" / "bad.pem"
    path.parent.mkdir()
    if kind == "encrypted":
        signing_key(path, mode=mode, passphrase=b"TOPSECRET")
    elif kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("TOPSECRET\n")
        path.chmod(mode)
    elif kind != "missing":
        signing_key(path, kind, mode)
    g = gateway(tmp_path, [definition(str(path))])
    code, _, found = check(g)
    assert code == 1 and len(found) == 1, found
    line, text = found[0]
    assert line == line_of(g, "bad.pem")
    assert text.startswith(str(path)) and told in text
    assert "TOPSECRET" not in text
    r = subprocess.run([BUILD / "sortied", "-n", "-c", g.conf], check=False,
                       capture_output=True, text=True)
    assert r.returncode == 2 and told in r.stderr


@pytest.mark.parametrize("definitions, policies, told", [
    ([{"name": "a\nb"}], [], "name: has a control character in it"),
    ([{"expire": "31d"}], [], "expire: \"31d\" is out of range"),
    ([{"selector": ""}], [], "selector: is empty"),
    ([{}, {"selector": "t"}], [], '"com": duplicate name'),
    ([{}, {"name": "other"}], [], "selector s2026 of example.com is there "
                                  "twice"),
    ([{}], [{}], "definition is missing"),
    ([{}], [{"definition": "org"}], 'has no "org"'),
    ([{}], [{"definition": ["com", "com"]}], '"com" is there twice'),
    ([{"name": f"d{i}", "selector": f"s{i}"} for i in range(9)],
     [{"definition": [f"d{i}" for i in range(9)]}], "more than 8"),
])
def test_bad_text(tmp_path, key, definitions, policies, told):
    g = gateway(tmp_path, [definition(key, **d) for d in definitions],
                policies)
    code, _, found = check(g)
    assert code == 1 and any(told in text for _, text in found), found


@pytest.mark.parametrize("field, word", [
    ("spf_fail", "honour_dmarc"), ("spf_softfail", "none"),
    ("dkim_fail", "quarantine"), ("dmarc_fail", "yes")])
def test_bad_inbound(tmp_path, field, word):
    g = Gateway(tmp_path, policies={
        "dns_authentication_inbound": [{"from": "external", field: word}]})
    code, _, found = check(g)
    assert code == 1 and len(found) == 1
    assert f'{field}: "{word}" is not one of "take_no_action"' in found[0][1]


def test_dump_is_read_again(tmp_path, key):
    rsa = signing_key(tmp_path / "rsa.pem", 2048)
    g = gateway(
        tmp_path,
        [definition(key, expire="14d"), definition(rsa, name="b",
                                                   selector="b")],
        [{"definition": ["b", "com"], "based_on": "header"},
         {"definition": "com", "to": "domain:far.test", "enabled": False}])
    g.write(policies={"dns_authentication_inbound": [
        {"from": "external", "to": "internal"},
        {"from": "external", "to": "address:a@example.com",
         "spf_fail": "reject", "spf_softfail": "hold",
         "dkim_fail": "ignore_managed_sender", "dmarc_fail": "reject"}]})
    code, first, found = check(g, "--dump")
    assert (code, found) == (0, [])
    for text in ('expire = "336h";', 'expire = "0s";',
                 'definition = ( "b", "com" );', 'dmarc_fail = "honour_dmarc"',
                 'spf_softfail = "hold"'):
        assert text in first
    assert "PRIVATE" not in first
    g.conf.write_text(first)
    assert check(g, "--dump") == (0, first, [])


def warnings(g):
    code, _, found = check(g)
    assert code == 0, found
    return [text for _, text in found if text.startswith("warning: ")]


def test_warnings(tmp_path, key):
    org = definition(key, name="org", domain="example.org")
    two = [{"domain": "example.com"}, {"domain": "example.org"}]
    com = [definition(key), org]
    g = gateway(tmp_path, com, internal_domains=two)
    told, = warnings(g)
    assert "mail from example.org is signed by example.com, which does not " \
        "align with it (DMARC)" in told

    each = [{"from": "domain:example.com", "definition": "com"},
            {"from": "domain:example.org", "definition": "org"}]
    g.write(policies={"dns_authentication": each})
    told = warnings(g)
    assert len(told) == 2 and all('write based_on = "header"' in t
                                  for t in told)
    for p in each:
        p["based_on"] = "header"
    g.write(policies={"dns_authentication": each})
    assert not warnings(g)

    g.write(policies={"dns_authentication": each[:1]})
    told, = warnings(g)
    assert "no dns_authentication policy signs mail from example.org" in told

    g.write(policies={"dns_authentication": [
        *each, {"from": "external", "definition": "com"}]})
    told, = warnings(g)
    assert "this policy signs nothing" in told

    del each[0]["based_on"]
    g.write(internal_domains=two[:1],
            policies={"dns_authentication": each[:1]})
    assert not warnings(g)
    g.write(admission={"header_from": "allow"})
    told, = warnings(g)
    assert 'admission.header_from = "allow" lets mail with any From field ' \
        "out" in told

    g.write(policies={"dns_authentication": [], "dns_authentication_inbound": [
        {"from": "internal", "spf_fail": "hold"}]})
    told, = warnings(g)
    assert "holds for no mail from outside" in told


def test_weak_key_is_a_warning(tmp_path):
    path = signing_key(tmp_path / "weak.pem", 1024)
    told, = warnings(gateway(tmp_path, [definition(path)]))
    assert "an RSA key of 1024 bits is weak; make one of 2048" in told


def test_a_bad_key_keeps_the_old_configuration(tmp_path, key):
    """A3.16: a key that others may read is refused at reload too."""
    g = gateway(tmp_path, [definition(key)]).start()
    try:
        os.chmod(key, 0o644)
        r = g.api("reload")
        assert r.returncode == 1
        assert "is open to others" in r.stdout + r.stderr
        r = g.api("explain", "--ip", "127.0.0.1", "--from", "a@example.com",
                  "--to", "b@far.test")
        assert "signs with com (domain example.com, selector s2026)" in \
            r.stdout
        os.chmod(key, 0o600)
        assert g.api("reload").returncode == 0
    finally:
        g.allowed.append("reload")
        g.stop()
