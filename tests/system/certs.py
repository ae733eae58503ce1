"""Certificates of every kind for TLS tests: a CA and what it, or nobody,
signed."""

import datetime
import ipaddress
import os
import pathlib
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import (ExtendedKeyUsageOID, NameOID,
                                   ObjectIdentifier)


def signing_key(path, kind="ed25519", mode=0o600, passphrase=None):
    """A private key for DKIM: "ed25519", "ec" or the bits of an RSA key."""
    if kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    elif kind == "ec":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(65537, kind)
    how = (serialization.BestAvailableEncryption(passphrase) if passphrase
           else serialization.NoEncryption())
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
    path.chmod(mode)
    return str(path)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Factory:
    """make(kind, name) gives (certificate file, key file) for a host. There
    is no kind for a revoked certificate: nothing here looks at CRLs or OCSP,
    as no mail server does for its next hops."""

    CHAINS = ("intermediate", "no_intermediate", "old_intermediate",
              "leaf_issued", "excluded", "not_permitted", "deep",
              "forged_root")

    def __init__(self, path):
        self.dir = pathlib.Path(path)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.root_key, self.root = self._authority("Root")
        self.mid_key, self.mid = self._authority(
            "Intermediate", self.root_key, self.root)
        self.file = self._write("root.pem", [self.root])
        self.other_key, self.other = self._authority("Other Root")
        self.other_file = self._write("other.pem", [self.other])

    def _authority(self, name, signer=None, issuer=None, **more):
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._sign(_name(name), key, [], signer or key,
                          issuer.subject if issuer else _name(name),
                          **{"ca": True, **more})
        return key, cert

    @staticmethod
    def _sign(subject, key, names, signer, issuer, ca=False, begin=-9, end=7,
              digest=None, extensions=()):
        now = datetime.datetime.utcnow()
        b = (x509.CertificateBuilder().subject_name(subject)
             .issuer_name(issuer).public_key(key.public_key())
             .serial_number(x509.random_serial_number())
             .not_valid_before(now + datetime.timedelta(days=begin))
             .not_valid_after(now + datetime.timedelta(days=end))
             .add_extension(x509.BasicConstraints(ca, None), True))
        if names:
            b = b.add_extension(x509.SubjectAlternativeName(names), False)
        for extension, critical in extensions:
            b = b.add_extension(extension, critical)
        return b.sign(signer, digest or hashes.SHA256())

    def _write(self, name, certs):
        path = self.dir / name
        path.write_bytes(b"".join(
            c.public_bytes(serialization.Encoding.PEM) for c in certs))
        return str(path)

    def _write_key(self, name, key):
        path = str(self.dir / name)
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600),
                  "wb") as f:
            f.write(key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()))
        return path

    def _chain(self, kind, host):
        """Who signs a certificate of a kind that is about its chain: key,
        certificate, and what is sent behind the leaf."""
        if kind in ("intermediate", "no_intermediate"):
            return (self.mid_key, self.mid,
                    [self.mid] if kind == "intermediate" else [])
        if kind == "old_intermediate":
            more = {"end": -1}
        elif kind == "leaf_issued":
            more = {"ca": False}
        elif kind == "excluded":
            more = {"extensions": [(x509.NameConstraints(
                None, [x509.DNSName(host.split(".", 1)[1])]), True)]}
        elif kind == "not_permitted":
            more = {"extensions": [(x509.NameConstraints(
                [x509.DNSName("permitted.test")], None), True)]}
        elif kind == "deep":
            signers = [(self.root_key, self.root)]
            for i in range(12):
                signers.append(self._authority(f"Authority {i}", *signers[-1]))
            return *signers[-1], [c for _, c in signers[:0:-1]]
        else:
            assert kind == "forged_root", kind
            key, cert = self._authority("Root")
            return key, cert, []
        key, cert = self._authority(f"{kind} CA", self.root_key, self.root,
                                    **more)
        return key, cert, [cert]

    def make(self, kind, host):
        key = ec.generate_private_key(ec.SECP256R1())
        subject, names = _name(host), [x509.DNSName(host)]
        signer, issuer, chain, more = self.root_key, self.root, [], {}
        parent = host.split(".", 1)[1] if "." in host else host
        if kind == "expired":
            more = {"end": -1}
        elif kind == "not_yet":
            more = {"begin": 2}
        elif kind == "wrong_name":
            names = [x509.DNSName("another." + parent)]
        elif kind == "cn_only":
            names = []
        elif kind == "wildcard":
            names = [x509.DNSName("*." + parent)]
        elif kind == "wildcard_deep":
            names = [x509.DNSName("*." + parent.split(".", 1)[1])]
        elif kind == "wildcard_bare":
            names = [x509.DNSName("*")]
        elif kind == "wildcard_partial":
            names = [x509.DNSName(host[0] + "*." + parent)]
        elif kind == "ip":
            names = [x509.IPAddress(ipaddress.ip_address(host))]
        elif kind == "self_signed":
            signer, issuer = key, None
        elif kind == "unknown_ca":
            signer, issuer = self.other_key, self.other
        elif kind in self.CHAINS:
            signer, issuer, chain = self._chain(kind, host)
        elif kind == "nul":  # what C would read is the host's name
            names = [x509.DNSName(host + "\0.evil.test")]
        elif kind == "upper":
            names = [x509.DNSName(host.upper())]
        elif kind == "many_names":
            names = [x509.DNSName(f"n{i}." + parent) for i in range(500)]
            names.append(x509.DNSName(host))
        elif kind == "other_use":
            more = {"extensions": [(x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.CODE_SIGNING]), False)]}
        elif kind == "critical":
            more = {"extensions": [(x509.UnrecognizedExtension(
                ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"\x05\0"), True)]}
        elif kind == "huge":  # more than any client takes: 100 KB
            chain = [self.other] * 600
        elif kind == "rsa":
            key = rsa.generate_private_key(65537, 2048)
        elif kind == "weak_key":
            key = rsa.generate_private_key(65537, 1024)
        elif kind == "toy_key":
            key = rsa.generate_private_key(65537, 512)
        elif kind == "sha1":
            more = {"digest": hashes.SHA1()}
        else:
            assert kind == "good", kind
        cert = self._sign(subject, key, names, signer,
                          issuer.subject if issuer else subject, **more)
        stem = f"{kind}-{host}"
        return (self._write(stem + ".pem", [cert] + chain),
                self._write_key(stem + ".key", key))

    def server(self, kind, host, client_ca=None):
        """A context for a server that shows that certificate."""
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if kind in ("weak_key", "toy_key", "sha1"):
            ctx.set_ciphers("DEFAULT@SECLEVEL=0")
        ctx.load_cert_chain(*self.make(kind, host))
        if client_ca is not None:
            ctx.load_verify_locations(client_ca)
            ctx.verify_mode = ssl.CERT_OPTIONAL
        return ctx


def fingerprint(pem):
    """SHA-256 of the first certificate of a file, lower-case hexadecimal."""
    cert = x509.load_pem_x509_certificate(pathlib.Path(pem).read_bytes())
    return cert.fingerprint(hashes.SHA256()).hex()


def spki_sha256(pem):
    """SHA-256 of the public key of the first certificate of a file."""
    cert = x509.load_pem_x509_certificate(pathlib.Path(pem).read_bytes())
    digest = hashes.Hash(hashes.SHA256())
    digest.update(cert.public_key().public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()
