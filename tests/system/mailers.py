"""Replies and forwards as the mailers of the world write them.

    reply(name, original, text, author, ...) -> octets of the whole message

Each quotes the message that it is given by its own marks and habits, and uses
the structure, charset and encoding that it would; stationery that stands in
the original is quoted with it. `threads` tells where in each part the thread
begins. All is deterministic.
"""

import email
import email.policy
import email.utils
import html
import re
import textwrap

POLICY = email.policy.SMTP.clone(max_line_length=76)
# In a template: the thread begins here.
HERE = "\ue000"


class Author:
    def __init__(self, name, address):
        self.name = name
        self.address = address

    def __str__(self):
        return f"{self.name} <{self.address}>"


class Original:
    """What a mailer shows of the message it quotes."""

    def __init__(self, message):
        name, address = email.utils.parseaddr(str(message["From"]))
        self.sender = Author(name or address, address)
        self.to = str(message["To"])
        self.subject = str(message["Subject"])
        self.id = str(message["Message-ID"])
        self.references = str(message["References"] or "")
        self.date = email.utils.parsedate_to_datetime(str(message["Date"]))
        plain = message.get_body(("plain",))
        rich = message.get_body(("html",))
        self.html = (inner_html(rich.get_content()) if rich
                     else as_html(plain.get_content()))
        self.text = (plain.get_content() if plain
                     else as_text(self.html)).replace("\r\n", "\n").strip("\n")

    def when(self, how):
        return self.date.strftime(how)


def inner_html(text):
    m = re.search(r"<body[^>]*>(.*?)(</body>.*)?\Z", text, re.S | re.I)
    return (m.group(1) if m else text).replace("\r\n", "\n").strip()


def as_html(text):
    return "<div>" + html.escape(text.strip(), False).replace("\r\n", "\n") \
        .replace("\n", "<br>\n") + "</div>"


def as_text(markup):
    text = re.sub(r"(?s)<style.*?</style>|<!--.*?-->", "", markup)
    text = re.sub(r"\s*\n\s*", " ", text)
    text = re.sub(r"(?i)<br[^>]*>|</(p|div|tr|blockquote)>", "\n", text)
    return html.unescape(re.sub(r"<[^>]*>", "", text)).replace("\xa0", " ")


def paragraphs(text, tag, style=""):
    return "\n".join(
        f"<{tag}{style}>{html.escape(line, False) or '<br>'}</{tag}>"
        for line in text.split("\n"))


def quoted(text, width=0):
    """With "> ", lines wrapped to the width, if any."""
    out = []
    for line in text.split("\n"):
        m = re.match(r"((?:> ?)*)(.*)", line, re.S)
        deep, rest = m.group(1), m.group(2)
        lines = [rest]
        if width and len(line) > width:
            lines = textwrap.wrap(rest, width - len(deep) - 2,
                                  break_long_words=False,
                                  break_on_hyphens=False) or [""]
        out += [(">" if deep.startswith(">") or not (deep or x) else "> ")
                + deep + x for x in lines]
    return "\n".join(out)


def flowed(text, width=72):
    """RFC 3676: a blank before a line end that is none."""
    out = []
    for line in text.split("\n"):
        if line.startswith(">") or len(line) <= width:
            out.append(line.rstrip(" ") if line != "-- " else line)
            continue
        lines = textwrap.wrap(line, width, break_long_words=False)
        out += [x + " " for x in lines[:-1]] + lines[-1:]
    return "\n".join(" " + x if re.match(r" |From ", x) else x for x in out)


def headers_text(o, labels=("From", "Sent", "To", "Subject"),
                 date="%A, %B %d, %Y %H:%M"):
    sender, sent, to, subject = labels
    return (f"{sender}: {o.sender}\n{sent}: {o.when(date)}\n{to}: {o.to}\n"
            f"{subject}: {o.subject}\n")


def headers_html(o, labels=("From", "Sent", "To", "Subject"),
                 date="%A, %B %d, %Y %H:%M", tag="b"):
    values = (str(o.sender), o.when(date), o.to, o.subject)
    return "<br>\n".join(f"<{tag}>{label}:</{tag}> {html.escape(v, False)}"
                         for label, v in zip(labels, values))


# ---- the mailers: (text part or None, HTML part or None) ---------------------

def outlook(o, text, author, forward, labels=None):
    """Outlook for Windows, on Exchange."""
    labels = labels or ("From", "Sent", "To", "Subject")
    plain = f"{text}\n\n{HERE}{headers_text(o, labels)}\n{o.text}\n"
    rich = f"""<html xmlns:v="urn:schemas-microsoft-com:vml" \
xmlns:o="urn:schemas-microsoft-com:office:office" \
xmlns:w="urn:schemas-microsoft-com:office:word" \
xmlns="http://www.w3.org/TR/REC-html40">
<head>
<meta http-equiv="Content-Type" content="text/html; charset=utf-8">
<meta name="Generator" content="Microsoft Word 15 (filtered medium)">
<style><!--
p.MsoNormal, li.MsoNormal, div.MsoNormal
	{{margin:0cm; font-size:11.0pt; font-family:"Calibri",sans-serif;}}
div.WordSection1 {{page:WordSection1;}}
--></style><!--[if gte mso 9]><xml>
<o:shapedefaults v:ext="edit" spidmax="1026" />
</xml><![endif]-->
</head>
<body lang="EN-GB" link="#0563C1" vlink="#954F72">
<div class="WordSection1">
{paragraphs(text, 'p', ' class="MsoNormal"')}
<p class="MsoNormal"><o:p>&nbsp;</o:p></p>
{HERE}<div>
<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm \
0cm">
<p class="MsoNormal">{headers_html(o, labels)}<o:p></o:p></p>
</div>
</div>
<p class="MsoNormal"><o:p>&nbsp;</o:p></p>
{o.html}
</div>
</body>
</html>
"""
    return plain, rich


def outlook_german(o, text, author, forward):
    return outlook(o, text, author, forward,
                   ("Von", "Gesendet", "An", "Betreff"))


def outlook_french(o, text, author, forward):
    return outlook(o, text, author, forward,
                   ("De\xa0", "Envoy\xe9\xa0", "\xc0\xa0", "Objet\xa0"))


def owa(o, text, author, forward):
    """Outlook on the web."""
    plain = (f"{text}\n{HERE}________________________________\n"
             f"{headers_text(o)}\n{o.text}\n")
    rich = f"""<html>
<head>
<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">
<style type="text/css" style="display:none;"> P {{margin-top:0;}} </style>
</head>
<body dir="ltr">
{paragraphs(text, 'div', ' class="elementToProof"')}
{HERE}<div id="appendonsend"></div>
<hr style="display:inline-block;width:98%" tabindex="-1">
<div id="divRplyFwdMsg" dir="ltr"><font face="Calibri, sans-serif" \
style="font-size:11pt" color="#000000">{headers_html(o)}</font>
<div>&nbsp;</div>
</div>
<div>{o.html}</div>
</body>
</html>
"""
    return plain, rich


def outlook_mobile(o, text, author, forward):
    foot = "Get Outlook for iOS"
    plain = (f"{text}\n\n{foot}<https://aka.ms/o0ukef>\n"
             f"{HERE}________________________________\n"
             f"{headers_text(o)}\n{o.text}\n")
    rich = f"""<html>
<head>
<meta http-equiv="Content-Type" content="text/html; charset=utf-8">
</head>
<body>
{paragraphs(text, 'div', ' dir="ltr"')}
<div id="ms-outlook-mobile-signature" dir="ltr">
<div>{foot}</div>
</div>
{HERE}<div id="mail-editor-reference-message-container" \
class="ms-outlook-mobile-reference-message">
<hr style="display:inline-block;width:98%" tabindex="-1">
<div id="divRplyFwdMsg" dir="ltr"><font face="Calibri, sans-serif">\
{headers_html(o)}</font>
<div>&nbsp;</div>
</div>
{o.html}
</div>
</body>
</html>
"""
    return plain, rich


def gmail(o, text, author, forward):
    when = o.when("%a, %b %d, %Y at %H:%M")
    if forward:
        bar = "---------- Forwarded message ---------"
        date = "%a, %b %d, %Y at %H:%M"
        names = ("From", "Date", "Subject", "To")
        lines = list(zip(names, (str(o.sender), o.when(date), o.subject,
                                 o.to)))
        head = "".join(f"{a}: {b}\n" for a, b in lines)
        rich = "<br>".join(f"{a}: {html.escape(b, False)}" for a, b in lines)
        return (f"{text}\n\n{HERE}{bar}\n{head}\n\n{o.text}\n",
                f'<div dir="ltr">{paragraphs(text, "div")}</div><br>'
                f'{HERE}<div class="gmail_quote gmail_quote_container"><div '
                f'dir="ltr" class="gmail_attr">{bar}<br>{rich}<br></div><br>'
                f'<br>{o.html}</div>\n')
    wrote = f"On {when} {o.sender.name} <{o.sender.address}>"
    wrote = "\n".join(textwrap.wrap(wrote + " wrote:", 76,
                                    break_on_hyphens=False))
    return (f"{text}\n\n{HERE}{wrote}\n\n{quoted(o.text)}\n",
            f'<div dir="ltr">{paragraphs(text, "div")}</div><br>'
            f'{HERE}<div class="gmail_quote gmail_quote_container"><div '
            f'dir="ltr" class="gmail_attr">On {when} '
            f'{html.escape(o.sender.name)} &lt;<a href="mailto:'
            f'{o.sender.address}">{o.sender.address}</a>&gt; wrote:<br></div>'
            '<blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex;'
            'border-left:1px solid rgb(204,204,204);padding-left:1ex">'
            f'{o.html}</blockquote></div>\n')


def gmail_plain(o, text, author, forward):
    return gmail(o, text, author, forward)[0], None


def apple(o, text, author, forward):
    """Mail of macOS."""
    wrote = (f"On {o.when('%d %b %Y, at %H:%M')}, {o.sender.name} "
             f"<{o.sender.address}> wrote:")
    head = wrote
    if forward:
        head = (f"From: {o.sender}\nSubject: {o.subject}\n"
                f"Date: {o.when('%d %B %Y at %H:%M:%S')}\nTo: {o.to}")
    shown = html.escape(head, False).replace("\n", "<br>\n")
    if forward:
        shown = f"<div>Begin forwarded message:</div><br>{shown}"
        plain = (f"{text}\n\n{HERE}Begin forwarded message:\n\n"
                 f"{quoted(head)}\n> \n{quoted(o.text)}\n")
    else:
        plain = f"{text}\n\n{HERE}{quoted(wrote)}\n> \n{quoted(o.text)}\n"
    rich = f"""<html><head><meta http-equiv="Content-Type" \
content="text/html; charset=utf-8"></head><body style="overflow-wrap: \
break-word; -webkit-nbsp-mode: space; line-break: after-white-space;">\
{html.escape(text, False).replace(chr(10), "<br>")}<br id="lineBreakAtBegin\
ningOfMessage"><div><br>{HERE}<blockquote type="cite"><div>{shown}</div><br \
class="Apple-interchange-newline"><div>{o.html}</div></blockquote></div><br>\
</body></html>
"""
    return plain, rich


def ios(o, text, author, forward):
    """Mail of the iPhone."""
    wrote = (f"On {o.when('%d %b %Y, at %H:%M')}, {o.sender.name} "
             f"<{o.sender.address}> wrote:")
    plain = (f"{text}\n\nSent from my iPhone\n\n{HERE}{quoted(wrote)}\n> \n"
             f"> \ufeff{quoted(o.text)[2:]}\n")
    rich = f"""<html><head><meta http-equiv="content-type" content="text/html; \
charset=utf-8"></head><body dir="auto">{paragraphs(text, "div")}<div \
dir="ltr">Sent from my iPhone</div><div dir="ltr"><br>{HERE}<blockquote \
type="cite">{html.escape(wrote, False)}<br><br></blockquote></div><blockquote \
type="cite"><div dir="ltr">\ufeff{o.html}</div></blockquote></body></html>
"""
    return plain, rich


def thunderbird(o, text, author, forward):
    sign = f"-- \n{author.name}"
    if forward:
        bar = "-------- Forwarded Message --------"
        rows = (("Subject", o.subject), ("Date", o.when("%a, %d %b %Y %T %z")),
                ("From", str(o.sender)), ("To", o.to))
        table = "".join(
            '<tr><th nowrap="nowrap" valign="BASELINE" align="RIGHT">'
            f"{a}: </th><td>{html.escape(b, False)}</td></tr>\n"
            for a, b in rows)
        plain = (f"{text}\n\n{HERE}{bar}\n"
                 + "".join(f"{a}: {b}\n" for a, b in rows)
                 + f"\n{o.text}\n")
        quote = (f'{HERE}<div class="moz-forward-container"><br>\n<br>\n{bar}\n'
                 '<table class="moz-email-headers-table" cellspacing="0" '
                 f'cellpadding="0" border="0"><tbody>\n{table}</tbody></table>'
                 f"\n<br>\n<br>\n{o.html}</div>")
    else:
        wrote = f"On {o.when('%d/%m/%Y %H:%M')}, {o.sender.name} wrote:"
        plain = f"{text}\n\n{HERE}{wrote}\n{quoted(o.text)}\n\n{sign}\n"
        quote = (f'{HERE}<div class="moz-cite-prefix">{html.escape(wrote)}<br>'
                 f'\n</div>\n<blockquote type="cite" cite="mid:{o.id[1:-1]}">\n'
                 f"{o.html}\n</blockquote>\n"
                 f'<pre class="moz-signature" cols="72">{sign}</pre>')
    rich = f"""<!DOCTYPE html>
<html>
<head>
<meta http-equiv="Content-Type" content="text/html; charset=UTF-8">
</head>
<body>
{paragraphs(text, "p")}
{quote}
</body>
</html>
"""
    return flowed(plain), rich


def thunderbird_flowed(o, text, author, forward):
    return thunderbird(o, text, author, forward)[0], None


def mutt(o, text, author, forward):
    if forward:
        return (f"{text}\n\n{HERE}----- Forwarded message from {o.sender} "
                f"-----\n\nDate: {o.when('%a, %d %b %Y %T %z')}\n"
                f"From: {o.sender}\nTo: {o.to}\nSubject: {o.subject}\n\n"
                f"{o.text}\n\n----- End forwarded message -----\n"), None
    return (f"{text}\n\n-- \n{author.name}\n\n"
            f"{HERE}On {o.when('%a, %b %d, %Y at %I:%M:%S%p %z')}, "
            f"{o.sender.name} wrote:\n{quoted(o.text)}\n"), None


def roundcube(o, text, author, forward):
    wrote = f"On {o.when('%Y-%m-%d %H:%M')}, {o.sender.name} wrote:"
    rich = f"""<html><head><meta http-equiv="Content-Type" content="text/html; \
charset=UTF-8" /></head><body style='font-size: 10pt; font-family: Verdana'>
{paragraphs(text, "p")}
{HERE}<p id="reply-intro">{html.escape(wrote)}</p>
<blockquote type="cite" style="padding: 0 0.4em; border-left: #1010ff 2px \
solid; margin: 0">
<div id="replybody1">
{o.html}
</div>
</blockquote>
</body></html>
"""
    return flowed(f"{text}\n\n{HERE}{wrote}\n{quoted(o.text, 72)}\n"), rich


def k9(o, text, author, forward):
    wrote = f"On {o.when('%d %B %Y %H:%M:%S')} UTC, {o.sender} wrote:"
    rich = ("<!DOCTYPE html><html><body>"
            f"{html.escape(text, False).replace(chr(10), '<br>')}<br><br>"
            f'{HERE}<div class="gmail_quote">{html.escape(wrote, False)}'
            '<blockquote class="gmail_quote" style="margin: 0pt 0pt 0pt '
            '0.8ex; border-left: 1px solid rgb(204, 204, 204); padding-left: '
            f'1ex;">\n{o.html}</blockquote></div></body></html>\n')
    return f"{text}\n\n{HERE}{wrote}\n{quoted(o.text)}\n", rich


def yahoo(o, text, author, forward):
    """Its plain text has no marks of quotation at all."""
    wrote = (f"On {o.when('%A, %d %B %Y at %H:%M:%S')} GMT, {o.sender.name} "
             f"<{o.sender.address}> wrote:")
    rich = f"""<html><head></head><body><div class="ydp1a2b3c4dyahoo-style-wrap" \
style="font-family:Helvetica Neue, Helvetica, Arial, sans-serif;">
{paragraphs(text, "div", ' dir="ltr" data-setdir="false"')}
<div><br></div>
</div>{HERE}<div id="ydp7c1fyahoo_quoted_2142999335" \
class="ydp7c1fyahoo_quoted">
<div style="font-size:13px;color:#26282a;">
<div>
{html.escape(wrote, False)}
</div>
<div><br></div>
<div><br></div>
<div>{o.html}</div>
</div>
</div></body></html>
"""
    plain = re.sub(r"(?m)^", "  ", f"{wrote}\n \n{o.text}")
    return f" {text}\n\n{plain}\n", rich


def proton(o, text, author, forward):
    wrote = (f"On {o.when('%A, %B %dth, %Y at %I:%M %p')}, {o.sender.name} "
             f"<{o.sender.address}> wrote:")
    rich = ('<div style="font-family: Arial, sans-serif; font-size: 14px;">'
            f"{html.escape(text, False).replace(chr(10), '<br>')}</div>"
            f'{HERE}<div class="protonmail_quote">\n'
            f"        {html.escape(wrote, False)}<br>\n        <br>\n"
            '        <blockquote class="protonmail_quote" type="cite">\n'
            f"            {o.html}\n        </blockquote><br>\n    </div>")
    return f"{text}\n\n{HERE}{wrote}\n\n{quoted(o.text)}\n", rich


def bottom(o, text, author, forward):
    """Thunderbird, answering below as some lists want it."""
    wrote = f"On {o.when('%d/%m/%Y %H:%M')}, {o.sender.name} wrote:"
    return (f"{wrote}\n{quoted(o.text)}\n\n{text}\n\n-- \n{author.name}\n",
            f'<div class="moz-cite-prefix">{html.escape(wrote)}<br></div>\n'
            f'<blockquote type="cite" cite="mid:{o.id[1:-1]}">{o.html}'
            f"</blockquote>\n{paragraphs(text, 'p')}\n"
            f'<pre class="moz-signature" cols="72">-- \n{author.name}</pre>')


def between(o, text, author, forward):
    """Gmail, answering between the lines."""
    wrote = f"On {o.when('%a, %b %d, %Y at %H:%M')} {o.sender} wrote:"
    attr = f'<div dir="ltr" class="gmail_attr">{html.escape(wrote)}<br></div>'
    cite = '<blockquote class="gmail_quote">'
    return (f"Thanks.\n\n{wrote}\n\n{quoted(o.text)}\n\n{text}\n\n"
            f"{quoted(o.text)}\n",
            f'<div dir="ltr">Thanks.</div><br><div class="gmail_quote">{attr}'
            f"{cite}{o.html}</blockquote>{paragraphs(text, 'div')}"
            f"{cite}{o.html}</blockquote></div>")


# name: (function, text part: charset, encoding, flowed; HTML part: the same)
UTF8 = "utf-8"
MAILERS = {
    "outlook": (outlook, UTF8, "base64", False, "quoted-printable"),
    "outlook_german": (outlook_german, "iso-8859-1", "quoted-printable",
                       False, "quoted-printable"),
    "outlook_french": (outlook_french, "iso-8859-1", "quoted-printable",
                       False, "quoted-printable"),
    "owa": (owa, "iso-8859-1", "quoted-printable", False, "quoted-printable"),
    "outlook_mobile": (outlook_mobile, UTF8, "base64", False, "base64"),
    "gmail": (gmail, UTF8, "quoted-printable", False, "quoted-printable"),
    "gmail_plain": (gmail_plain, UTF8, "quoted-printable", False, None),
    "apple": (apple, UTF8, "quoted-printable", False, "quoted-printable"),
    "ios": (ios, UTF8, "quoted-printable", False, "quoted-printable"),
    "thunderbird": (thunderbird, UTF8, "8bit", True, "8bit"),
    "thunderbird_flowed": (thunderbird_flowed, UTF8, "8bit", True, None),
    "mutt": (mutt, UTF8, "8bit", False, None),
    "roundcube": (roundcube, UTF8, "8bit", True, "quoted-printable"),
    "k9": (k9, UTF8, "quoted-printable", False, "quoted-printable"),
    "yahoo": (yahoo, UTF8, "quoted-printable", False, "quoted-printable"),
    "proton": (proton, UTF8, "base64", False, "base64"),
    "bottom": (bottom, UTF8, "8bit", True, "8bit"),
    "between": (between, UTF8, "quoted-printable", False, "quoted-printable"),
}
FORWARDERS = ("outlook", "owa", "gmail", "apple", "thunderbird", "mutt")
# Where a thread is at the top of these, nobody can be sure of it.
UNSURE = ("bottom", "between")


def part(message, content, subtype, charset, encoding, flow):
    content = content.replace(HERE, "")
    choice = (charset, UTF8) if charset == UTF8 else (
        charset, "windows-1252", UTF8)
    for charset in choice:
        try:
            content.encode(charset)
            break
        except UnicodeEncodeError:
            continue
    if encoding == "8bit" and max(map(len, content.split("\n"))) > 900:
        encoding = "quoted-printable"
    if encoding == "8bit" and content.isascii():
        encoding = "7bit"
    message.set_content(content, subtype, charset, cte=encoding)
    if flow:
        message.set_param("format", "flowed")
    del message["MIME-Version"]


def compose(name, original, text, author, forward=False, serial=1):
    """The message as octets, and its parts as templates with HERE."""
    write, charset, encoding, flow, rich_encoding = MAILERS[name]
    o = Original(original)
    plain, rich = write(o, text, author, forward)
    m = email.message.EmailMessage(POLICY)
    sent = o.date.timestamp() + 3600
    m["From"] = str(author)
    m["To"] = str(o.sender)
    m["Subject"] = (("Fwd: " if forward else "Re: ")
                    + re.sub(r"^(Re|Fwd): ", "", o.subject))
    m["Date"] = email.utils.formatdate(sent)
    m["Message-ID"] = f"<{serial}.{name}@{author.address.split('@')[1]}>"
    m["In-Reply-To"] = o.id
    m["References"] = f"{o.references} {o.id}".strip()
    m["MIME-Version"] = "1.0"
    if rich is None:
        part(m, plain, "plain", charset, encoding, flow)
        m["MIME-Version"] = "1.0"
        return m.as_bytes(), {"plain": plain}
    m["Content-Type"] = f'multipart/alternative; boundary="={serial}_{name}"'
    for content, subtype, how in ((plain, "plain", encoding),
                                  (rich, "html", rich_encoding)):
        body = email.message.EmailMessage(POLICY)
        part(body, content, subtype, charset, how,
             flow and subtype == "plain")
        m.attach(body)
    return m.as_bytes(), {"plain": plain, "html": rich}


def reply(name, original, text, author, forward=False, serial=1):
    return compose(name, original, text, author, forward, serial)[0]


def threads(name, original, text, author, forward=False):
    """For each kind of part, its text (UTF-8, CRLF) as octets and the offset
    at which the thread begins, None: that is not sure."""
    out = {}
    for kind, content in compose(name, original, text, author,
                                 forward)[1].items():
        before, here, after = content.partition(HERE)
        lines = (before + after).replace("\n", "\r\n").encode()
        out[kind] = (lines, len(before.replace("\n", "\r\n").encode())
                     if here else None)
    return out


def parse(octets):
    return email.message_from_bytes(octets, policy=POLICY)
