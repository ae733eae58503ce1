"""What others find of our signatures: python3-dkim, and libopendkim as other
programs use it, each with the keys that DNS would give them."""

import base64
import ctypes
import os

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa


class Keys:
    """Key files for a configuration, and their public records."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.records = {}

    def _write(self, key, record, domain, selector):
        file = self.folder / f"{selector}.{domain}.pem"
        with open(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC,
                          0o600), "wb") as f:
            f.write(key.private_bytes(serialization.Encoding.PEM,
                                      serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()))
        self.records[f"{selector}._domainkey.{domain}"] = record
        return {"name": f"{selector} of {domain}", "domain": domain,
                "selector": selector, "key_file": str(file)}

    def rsa(self, domain, selector, bits=2048):
        """A definition with a new key."""
        key = rsa.generate_private_key(65537, bits)
        der = key.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo)
        return self._write(key, "v=DKIM1; k=rsa; p=" +
                           base64.b64encode(der).decode(), domain, selector)

    def ed25519(self, domain, selector):
        key = ed25519.Ed25519PrivateKey.generate()
        raw = key.public_key().public_bytes(serialization.Encoding.Raw,
                                            serialization.PublicFormat.Raw)
        return self._write(key, "v=DKIM1; k=ed25519; p=" +
                           base64.b64encode(raw).decode(), domain, selector)

    def find(self, name):
        return self.records.get(name.rstrip("."))


# ---- python3-dkim ----------------------------------------------------------

def by_python(keys, message):
    """{"domain/selector": does it verify}"""
    def dnsfunc(name, timeout=5):
        record = keys.find(name.decode())
        return record and record.encode()

    found = {}
    n = len([h for h in dkim.DKIM(message).headers
             if h[0].lower() == b"dkim-signature"])
    for i in range(n):
        d = dkim.DKIM(message)
        try:
            good = d.verify(i, dnsfunc=dnsfunc)
        except dkim.DKIMException:
            good = False
        found[f"{(d.domain or b'').decode()}/"
              f"{(d.selector or b'').decode()}"] = good
    return found


# ---- libopendkim -----------------------------------------------------------

LOOKUP = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                          ctypes.POINTER(ctypes.c_char), ctypes.c_size_t)
PASSED, FOUND, NOT_FOUND = 4, 0, 3


def _library():
    lib = ctypes.CDLL("libopendkim.so.11")
    for name in ("dkim_init", "dkim_verify", "dkim_sig_getdomain",
                 "dkim_sig_getselector"):
        getattr(lib, name).restype = ctypes.c_void_p
    for name, more in {
            "dkim_init": [ctypes.c_void_p],
            "dkim_verify": [ctypes.c_char_p, ctypes.c_void_p,
                            ctypes.c_void_p],
            "dkim_chunk": [ctypes.c_char_p, ctypes.c_size_t],
            "dkim_eom": [ctypes.c_void_p], "dkim_free": [], "dkim_close": [],
            "dkim_getsiglist": [ctypes.c_void_p, ctypes.c_void_p],
            "dkim_sig_process": [ctypes.c_void_p],
            "dkim_sig_getflags": [], "dkim_sig_getbh": [],
            "dkim_sig_getdomain": [], "dkim_sig_getselector": [],
            "dkim_set_key_lookup": [LOOKUP]}.items():
        getattr(lib, name).argtypes = [ctypes.c_void_p, *more]
    return lib


def by_opendkim(keys, message):
    """As by_python."""
    lib = _library()

    @LOOKUP
    def lookup(_dkim, sig, out, size):
        name = (f"{text(lib.dkim_sig_getselector(sig))}._domainkey."
                f"{text(lib.dkim_sig_getdomain(sig))}")
        record = (keys.find(name) or "").encode() + b"\0"
        if len(record) == 1 or len(record) > size:
            return NOT_FOUND
        ctypes.memmove(out, record, len(record))
        return FOUND

    def text(p):
        return ctypes.string_at(p).decode()

    handle = lib.dkim_init(None, None)
    lib.dkim_set_key_lookup(handle, lookup)
    status = ctypes.c_int()
    d = lib.dkim_verify(handle, b"test", None, ctypes.byref(status))
    found = {}
    if lib.dkim_chunk(d, message, len(message)) == 0 and \
            lib.dkim_chunk(d, None, 0) == 0:
        lib.dkim_eom(d, None)
        sigs, n = ctypes.POINTER(ctypes.c_void_p)(), ctypes.c_int()
        lib.dkim_getsiglist(d, ctypes.byref(sigs), ctypes.byref(n))
        for i in range(n.value):
            lib.dkim_sig_process(d, sigs[i])
            found[f"{text(lib.dkim_sig_getdomain(sigs[i]))}/"
                  f"{text(lib.dkim_sig_getselector(sigs[i]))}"] = \
                lib.dkim_sig_getflags(sigs[i]) & PASSED != 0 and \
                lib.dkim_sig_getbh(sigs[i]) == 0
    lib.dkim_free(d)
    lib.dkim_close(handle)
    return found


VERIFIERS = {"python3-dkim": by_python, "libopendkim": by_opendkim}


def verdicts(keys, message):
    """{verifier: {"domain/selector": does it verify}}"""
    return {name: verify(keys, message) for name, verify in VERIFIERS.items()}


def all_good(keys, message, *signers):
    """Does every verifier find these signatures, and each of them good?"""
    want = {s: True for s in signers}
    found = verdicts(keys, message)
    assert all(v == want for v in found.values()), \
        f"{found}\n{message[:3000].decode('utf-8', 'replace')}"


def all_bad(keys, message):
    """Does no verifier find any that is good?"""
    found = verdicts(keys, message)
    assert not any(good for v in found.values() for good in v.values()), found
