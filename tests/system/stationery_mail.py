"""Messages of every shape for stationery: {name: (octets, outcome, words)}.
outcome begins like what the tool prints; words: how many text parts show the
unique text afterwards."""

import base64
import quopri

HEAD = ("From: Ann Example <ann@example.com>\r\nTo: bob@example.net\r\n"
        "Subject: figures\r\nMessage-ID: <1@example.com>\r\n")
PDF = ("Content-Type: application/pdf; name=\"a.pdf\"\r\n"
       "Content-Disposition: attachment; filename=\"a.pdf\"\r\n"
       "Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQKJcOkw7zDtsOf\r\n")
PNG = ("Content-Type: image/png\r\nContent-ID: <own@example.com>\r\n"
       "Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n")
PAGE = ("<html><head><title>t</title></head><body class=\"x\">\r\n"
        "<p>Gr\u00fc\u00dfe \u2014 see</p>\r\n</body></html>\r\n")
WORDS = "Gr\u00fc\u00dfe an alle\r\nund mehr\r\n"


def leaf(kind, text, charset="utf-8", encoding="8bit", extra="", params=""):
    """A text part: fields, empty line, body."""
    raw = text.encode(charset)
    if encoding == "base64":
        raw = base64.encodebytes(raw).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        raw = quopri.encodestring(raw.replace(b"\r\n", b"\n"))
        raw = raw.replace(b"\n", b"\r\n")
    return (f"Content-Type: text/{kind}; charset={charset}{params}\r\n"
            f"Content-Transfer-Encoding: {encoding}\r\n{extra}\r\n"
            ).encode() + raw


def octets(x):
    return x if isinstance(x, bytes) else x.encode()


def multi(kind, *parts, boundary="outer", params="", preamble="",
          epilogue=""):
    """A multipart: fields, empty line, parts."""
    out = [f"Content-Type: multipart/{kind}; boundary=\"{boundary}\"{params}"
           f"\r\n\r\n{preamble}".encode()]
    for p in parts:
        out.append(f"--{boundary}\r\n".encode() + octets(p))
        if not out[-1].endswith(b"\r\n"):
            out.append(b"\r\n")
    out.append(f"--{boundary}--\r\n{epilogue}".encode())
    return b"".join(out)


def mail(content, head=HEAD):
    return (head + "MIME-Version: 1.0\r\n").encode() + octets(content)


TEXT = leaf("plain", WORDS)
HTML = leaf("html", PAGE)
ALT = multi("alternative", TEXT, HTML, boundary="alt")
SIGNED = multi("signed", TEXT,
               "Content-Type: application/pgp-signature\r\n\r\nsig\r\n",
               boundary="sig", params="; micalg=pgp-sha256; "
               "protocol=\"application/pgp-signature\"")
FORWARD = b"Content-Type: message/rfc822\r\n\r\n" + mail(ALT)


def encodings():
    for kind, text in (("plain", WORDS), ("html", PAGE)):
        for charset in ("utf-8", "windows-1252"):
            for encoding in ("8bit", "base64", "quoted-printable"):
                yield (f"{kind} {charset} {encoding}",
                       (mail(leaf(kind, text, charset, encoding)),
                        f"applied: {'html' if kind == 'html' else 'text'}",
                        1))
    for charset in ("utf-16", "iso-2022-jp", "shift_jis"):
        text = "\u3053\u3093\u306b\u3061\u306f\r\n"
        for kind in ("plain", "html"):
            yield (f"{kind} {charset}",
                   (mail(leaf(kind, text, charset, "base64")),
                    "applied", 1))


GOOD = dict(encodings()) | {
    "no MIME": ((HEAD + "\r\nhello\r\n").encode(), "applied: text", 1),
    "no body": ((HEAD + "\r\n").encode(), "applied: text", 1),
    "no last line end": ((HEAD + "\r\nhello").encode(), "applied: text", 1),
    "flowed": (mail(leaf("plain", "hello \r\nworld \r\n",
                         params="; format=flowed")), "applied: text", 1),
    "alternative": (mail(ALT), "applied: html, text", 2),
    "alternative, html first": (
        mail(multi("alternative", HTML, TEXT)), "applied: html, text", 2),
    "preamble and epilogue": (
        mail(multi("alternative", TEXT, HTML, preamble="This is MIME.\r\n",
                   epilogue="the end\r\n")), "applied: html, text", 2),
    "text and file": (mail(multi("mixed", TEXT, PDF)), "applied: text", 1),
    "file and text": (mail(multi("mixed", PDF, TEXT)), "applied: text", 1),
    "alternative and file": (
        mail(multi("mixed", ALT, PDF)), "applied: html, text", 2),
    "text round a file": (
        mail(multi("mixed", TEXT, PDF, TEXT)), "applied: text", 1),
    "related": (mail(multi("related", HTML, PNG)), "applied: html", 1),
    "alternative in related": (
        mail(multi("related", ALT, PNG)), "applied: html, text", 2),
    "related in alternative": (
        mail(multi("alternative", TEXT,
                   multi("related", HTML, PNG, boundary="rel"))),
        "applied: html, text", 2),
    "all of them": (
        mail(multi("mixed", multi("related", ALT, PNG, boundary="rel"), PDF,
                   PDF)), "applied: html, text", 2),
    "apple": (
        mail(multi("alternative", TEXT,
                   multi("mixed", HTML, PDF, HTML, boundary="mix"))),
        "applied: html, text", 2),
    "forward": (mail(multi("mixed", TEXT, FORWARD)), "applied: text", 1),
    "forward of signed mail": (
        mail(multi("mixed", HTML, b"Content-Type: message/rfc822\r\n\r\n" +
                   mail(SIGNED))), "applied: html", 1),
    "list footer": (
        mail(multi("mixed", ALT, leaf("plain", "_____\r\nlist\r\n"))),
        "applied: html, text", 2),
    "text file": (
        mail(multi("mixed", TEXT, leaf(
            "plain", "notes\r\n",
            extra="Content-Disposition: attachment\r\n"))),
        "applied: text", 1),
    "files only": (mail(multi("mixed", PDF, PNG)),
                   "applied: a part of its own", 2),
    "enriched": (mail(leaf("enriched", "<bold>a</bold>\r\n", "us-ascii",
                           "7bit")), "applied: enriched", 1),
    "calendar file": (
        mail(multi("mixed", TEXT, leaf(
            "calendar", "BEGIN:VCALENDAR\r\n", params="; method=PUBLISH",
            extra="Content-Disposition: attachment\r\n"))),
        "applied: text", 1),
    "hidden": (mail(leaf("html", "<p>a</p><div style='display:none'>Example "
                         "Ltd, registered in England 0123456</div>")),
               "applied: html", 1),
    "lower case fields": (
        (HEAD + "mime-version: 1.0\r\ncontent-type:text/html\r\n"
         "content-transfer-encoding:7bit\r\n\r\n<p>a</p>\r\n").encode(),
        "applied: html", 1),
    "folded fields": (
        (HEAD + "Content-Type: text/html;\r\n\tcharset=\"us-ascii\"\r\n"
         "X-Other: stays\r\nMIME-Version: 1.0\r\n\r\n<p>a</p>\r\n").encode(),
        "applied: html", 1),
}
THERE = "Example Ltd, registered in England 0123456"
PRESENT = {
    "in text": (mail(leaf("plain", f"a\r\n\r\n{THERE}\r\n")), "present", 1),
    "wrapped, quoted": (
        mail(leaf("plain", "a\r\n> Example Ltd, registered\r\n> in England\r\n"
                  "> 0123456\r\n")), "present", None),
    "in quoted-printable": (
        mail("Content-Type: text/html\r\n"
             "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
             "Example L=\r\ntd, <b>regis</b>tered in England=20012&#51;456\r\n"
             ), "present", None),
    "in both": (
        mail(multi("alternative", leaf("plain", THERE + "\r\n"),
                   leaf("html", f"<p>{THERE}</p>\r\n"))), "present", 2),
}
NEVER = {
    "signed": (mail(SIGNED), "untouched: signed"),
    "signed, with a footer": (
        mail(multi("mixed", SIGNED, TEXT)), "untouched: signed"),
    "encrypted": (
        mail(multi("encrypted", "Content-Type: application/pgp-encrypted"
                   "\r\n\r\nVersion: 1\r\n",
                   "Content-Type: application/octet-stream\r\n\r\nx\r\n")),
        "untouched: encrypted"),
    "pkcs7": (
        mail("Content-Type: application/pkcs7-mime; smime-type=enveloped-data;"
             " name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
             "AAAA\r\n"), "untouched: signed or encrypted (PKCS#7)"),
    "p7m by name": (
        mail("Content-Type: application/octet-stream; name=\"smime.p7m\"\r\n"
             "\r\nAAAA\r\n"), "untouched: signed or encrypted (PKCS#7, by"),
    "pgp inline": (
        mail(leaf("plain", "-----BEGIN PGP SIGNED MESSAGE-----\r\n\r\na\r\n")),
        "untouched: PGP within the text"),
    "report": (
        mail(multi("report", TEXT, "Content-Type: message/delivery-status\r\n"
                   "\r\nReporting-MTA: dns; a\r\n",
                   params="; report-type=delivery-status")),
        "untouched: a report"),
    "receipt": (
        mail(multi("mixed", TEXT, "Content-Type: "
                   "message/disposition-notification\r\n\r\nA: b\r\n")),
        "untouched: a delivery report or receipt"),
    "meeting": (
        mail(multi("alternative", TEXT, HTML, leaf(
            "calendar", "BEGIN:VCALENDAR\r\n", params="; method=REQUEST"))),
        "untouched: a meeting"),
    "forward only": (mail(FORWARD), "untouched: no text part"),
    "file only": (mail(PDF), "untouched: no text part"),
    "partial": (
        mail("Content-Type: message/partial; id=a; number=1; total=2\r\n\r\n"
             "a\r\n"), "untouched: a piece"),
    "no final boundary": (
        mail(multi("mixed", TEXT, PDF)[:-9]), "failed: ambiguous"),
    "unknown charset": (
        mail("Content-Type: text/plain; charset=x-unknown\r\n\r\na\r\n"),
        "failed: text/plain"),
    "broken base64": (
        mail("Content-Type: text/plain\r\nContent-Transfer-Encoding: base64"
             "\r\n\r\n!!!!====abc\r\n"), "failed: text/plain"),
    "frameset": (
        mail(leaf("html", "<frameset><frame src=a></frameset>\r\n")),
        "failed: HTML"),
}
