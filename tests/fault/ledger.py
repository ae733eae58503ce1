"""The ledger that decides whether mail was lost (checklist A2).

It lives in the test's own process, with a copy on disk for the reader; keep
its folder outside of the state directory and of every disk that a fault
touches. A *key* is (id, recipient): one message owes one copy to each.

    ledger = Ledger(folder)

    # the client, for every attempt to hand over one message
    text = ledger.compose(ident, sender, [rcpt, ...], size=2000)
    attempt = ledger.dot(ident, [rcpt, ...])      # before the dot leaves
    ledger.reply(attempt, 250, "... [QID]")       # when its reply is read,
    ledger.silence(attempt)                       # or the connection ended
    # the sink, for every message, before it answers the dot
    ledger.copy(data, [rcpt, ...])

    # whoever breaks something, when it breaks
    ledger.fault("kill -9 at fdatasync 17")       # a moment, or
    with ledger.trouble("disk full"): ...         # a stretch of time

    # at the end
    ledger.told(dsn_octets)         # a DSN that came back: counts as found
    ledger.queued(qid, rcpt)        # a row of "sortie queue --json"
    verdict = ledger.judge()
    verdict.check()                 # AssertionError unless lost = 0 and so on

`judge()` gives a Verdict with lists of sentences:

    lost        keys with a 250 that are not at the sink, in a DSN or queued
    explained   additional copies that fall on a fault between dot and reply:
                of ours (the client had no reply and sent it again: another
                queue id) or of the sink's (the same queue id twice)
    unexplained additional copies for which no fault accounts
    broken      copies cut short, changed, merged, or under a wrong envelope
    strangers   copies or queue ids that no attempt accounts for

and the numbers `accepted` (keys with a 250), `delivered`, `told`, `queued`,
`duplicated` (explained + unexplained). Ids are words of [A-Za-z0-9-].
`Verdict.row(case, moments)` is a line of the table at the end of check-fault.
"""

import contextlib
import email
import email.policy
import hashlib
import json
import pathlib
import re
import threading
import time

# From the sink's 250 until the outcome is durable, and from a death until it
# is seen: a fault this close accounts for a copy. Generous under strace.
WINDOW_S = 2.0
FIELD = "X-Ledger-Id"
QID = re.compile(r"\[([0-9A-Za-z_-]+)\]\s*$")
TRACE = re.compile(rb"\r\n\tid ([0-9A-Za-z_-]+)")
LINE = ("the quick brown fox jumps over the lazy dog 0123456789 ABCDEFGHIJ "
        "klmnop\r\n")


class Attempt:
    def __init__(self, ident, rcpts):
        self.ident, self.rcpts = ident, tuple(rcpts)
        self.time = time.monotonic()
        self.end = None  # when the reply was read, or the silence began
        self.code = None
        self.qid = None


class Copy:
    def __init__(self, qid):
        self.qid = qid
        self.time = time.monotonic()


class Verdict:
    def __init__(self):
        self.accepted = self.delivered = self.told = self.queued = 0
        self.lost, self.explained, self.unexplained = [], [], []
        self.broken, self.strangers = [], []

    @property
    def duplicated(self):
        return len(self.explained) + len(self.unexplained)

    def check(self, duplicates=True):
        """Nothing lost, nothing broken, every duplicate accounted for (none
        at all with duplicates=False)."""
        bad = []
        for what in ("lost", "unexplained", "broken", "strangers"):
            found = getattr(self, what)
            if found:
                bad.append(f"{len(found)} {what}: " + "; ".join(found[:5]))
        if not duplicates and self.explained:
            bad.append("duplicated: " + "; ".join(self.explained[:5]))
        assert not bad, "\n".join(bad)
        assert self.accepted > 0, "no message had a 250: nothing was tested"

    def add(self, other):
        """Sums several verdicts of one case."""
        for what in ("accepted", "delivered", "told", "queued"):
            setattr(self, what, getattr(self, what) + getattr(other, what))
        for what in ("lost", "explained", "unexplained", "broken",
                     "strangers"):
            getattr(self, what).extend(getattr(other, what))
        return self

    def row(self, case, moments):
        return {"case": case, "moments": moments, "accepted": self.accepted,
                "lost": len(self.lost), "duplicated": self.duplicated,
                "explained": len(self.explained)}


class Ledger:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.file = open(folder / "ledger.jsonl", "ab", buffering=0)
        self.lock = threading.Lock()
        self.digests = {}   # id: of its body
        self.rcpts = {}     # id: recipients that it was sent to
        self.attempts = []
        self.copies = {}    # key: [Copy]
        self.faults = []    # (from, to, what)
        self.dsns = {}      # key: when
        self.waiting = {}   # key: set of queue ids
        self.by_qid = {}    # queue id: ident
        self.broken = []
        self.strangers = []

    def close(self):
        self.file.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _write(self, what, **fields):
        fields = {"t": round(time.monotonic(), 6), "what": what, **fields}
        self.file.write(json.dumps(fields).encode() + b"\n")

    # ---- the client ----------------------------------------------------

    def compose(self, ident, sender, rcpts, size=1000):
        """A message as str with CRLF; its body is unlike any other's."""
        body = f"ledger {ident} begins\r\n"
        line = f"{ident} {LINE}"
        body += line * max(0, (size - len(body)) // len(line))
        body += f".{ident} ends\r\n"
        with self.lock:
            self.digests[ident] = hashlib.sha256(body.encode()).hexdigest()
        return (f"From: <{sender}>\r\nTo: <{rcpts[0]}>\r\n"
                f"Subject: ledger {ident}\r\n"
                f"Date: Mon, 5 Jan 2026 10:00:00 +0000\r\n"
                f"Message-ID: <{ident}@example.com>\r\n"
                f"{FIELD}: {ident}\r\n\r\n{body}")

    def dot(self, ident, rcpts):
        a = Attempt(ident, rcpts)
        with self.lock:
            self.attempts.append(a)
            self.rcpts.setdefault(ident, set()).update(rcpts)
            self._write("dot", id=ident, rcpts=list(rcpts))
        return a

    def reply(self, attempt, code, text=""):
        m = QID.search(text)
        with self.lock:
            attempt.end = time.monotonic()
            attempt.code = code
            attempt.qid = m.group(1) if m else None
            if code == 250 and attempt.qid:
                self.by_qid[attempt.qid] = attempt.ident
            self._write("reply", id=attempt.ident, code=code, text=text)

    def silence(self, attempt):
        """The connection ended instead of a reply."""
        attempt.end = time.monotonic()

    def accepted(self):
        """Keys with a 250, at this moment."""
        with self.lock:
            return {(a.ident, r) for a in self.attempts if a.code == 250
                    for r in a.rcpts}

    # ---- the sink ------------------------------------------------------

    def copy(self, data, rcpts):
        """data: octets without dot-stuffing. Gives the id."""
        head, _, body = data.partition(b"\r\n\r\n")
        ids = re.findall(rb"(?m)^X-Ledger-Id: ([0-9A-Za-z-]+)\r?$", data)
        ident = ids[0].decode() if ids else None
        trace = TRACE.search(b"\r\n" + head)
        qid = trace.group(1).decode() if trace else None
        with self.lock:
            why = None
            if len(ids) != 1:
                why = f"{len(ids)} ids in one message"
            elif ident not in self.digests:
                self.strangers.append(f"{ident}: never sent")
            elif hashlib.sha256(body).hexdigest() != self.digests[ident]:
                why = f"{len(body)} octets that differ"
            elif not set(rcpts) <= self.rcpts.get(ident, set()):
                why = f"envelope {rcpts}"
            if why is not None:
                self.broken.append(f"{ident}: {why}")
            for r in rcpts:
                self.copies.setdefault((ident, r), []).append(Copy(qid))
            self._write("copy", id=ident, qid=qid, rcpts=list(rcpts),
                        broken=why)
        return ident

    def found(self):
        """Keys that the sink has or a DSN tells of, at this moment."""
        with self.lock:
            return set(self.copies) | set(self.dsns)

    def missing(self):
        """Keys with a 250 that are not there yet."""
        return self.accepted() - self.found()

    def at(self, begin, end, folder):
        """A ledger of its own that knows what was so when a power cut fell
        between begin and end: replies before begin, dots and copies before
        end. What came later did not happen."""
        past = Ledger(folder)
        with self.lock:
            past.digests, past.rcpts = dict(self.digests), {}
            past.broken = list(self.broken)
            for a in self.attempts:
                if a.time > end:
                    continue
                known = Attempt(a.ident, a.rcpts)
                known.time, known.end = a.time, min(a.end or end, end)
                if a.end is not None and a.end < begin:
                    known.code, known.qid = a.code, a.qid
                if known.code == 250 and known.qid:
                    past.by_qid[known.qid] = known.ident
                past.attempts.append(known)
                past.rcpts.setdefault(a.ident, set()).update(a.rcpts)
            for key, copies in self.copies.items():
                kept = [c for c in copies if c.time <= end]
                if kept:
                    past.copies[key] = kept
            past.dsns = {k: t for k, t in self.dsns.items() if t <= end}
        past.fault("power cut", begin, end)
        return past

    # ---- faults, DSNs, the queue ----------------------------------------

    def fault(self, what, start=None, end=None):
        """Now, or a stretch given by time.monotonic()."""
        now = time.monotonic()
        with self.lock:
            self.faults.append((start or now, end or now, what))
            self._write("fault", why=what)

    @contextlib.contextmanager
    def trouble(self, what):
        start = time.monotonic()
        try:
            yield
        finally:
            self.fault(what, start)

    def told(self, dsn):
        """A failure DSN: the keys it names count as found. Gives them."""
        m = email.message_from_bytes(dsn, policy=email.policy.default)
        ident, rcpts = None, []
        for part in m.walk():
            kind = part.get_content_type()
            if kind in ("message/rfc822", "text/rfc822-headers"):
                found = re.search(FIELD + r": ([0-9A-Za-z-]+)",
                                  part.as_string())
                ident = found.group(1) if found else ident
            if kind == "message/delivery-status":
                rcpts += re.findall(
                    r"(?mi)^Final-Recipient: *rfc822; *(\S+)\s*(?:.*\n)*?"
                    r"Action: failed", part.as_string())
        keys = {(ident, r) for r in rcpts}
        with self.lock:
            for k in keys:
                self.dsns.setdefault(k, time.monotonic())
            self._write("dsn", id=ident, rcpts=rcpts)
        return keys

    def queued(self, qid, rcpt):
        with self.lock:
            ident = self.by_qid.get(qid)
            self._write("queued", id=ident, qid=qid, rcpts=[rcpt])
            if ident is not None:
                self.waiting.setdefault((ident, rcpt), set()).add(qid)

    # ---- the judgement ---------------------------------------------------

    def _struck(self, start, end):
        for begin, over, what in self.faults:
            if begin <= end and over >= start:
                return what
        return None

    def _judge_key(self, v, key, attempts):
        # Copies by queue id: one each is owed at most.
        ident, rcpt = key
        groups = {}
        for c in sorted(self.copies.get(key, []), key=lambda c: c.time):
            groups.setdefault(c.qid, []).append(c)
        for qid, copies in groups.items():
            for first, again in zip(copies, copies[1:]):
                what = self._struck(first.time - 1,
                                    min(first.time + WINDOW_S, again.time))
                line = f"{ident} to {rcpt}: [{qid}] twice"
                if what is None:
                    v.unexplained.append(line)
                else:
                    v.explained.append(f"{line}, {what}")

        # Queue ids: one for each 250; one for each dot without a reply. A
        # 4xx or 5xx says that there is none.
        sure = {a.qid for a in attempts if a.code == 250}
        if None in sure:  # a 250 that named no id
            sure |= set(list(groups)[:1])
        silent = [a for a in attempts if a.code is None]
        for qid in groups:
            if qid in sure:
                continue
            struck = None
            for a in silent:
                end = a.end or time.monotonic()
                struck = self._struck(a.time - 1, end + 1)
                if struck:
                    silent.remove(a)
                    break
            if struck is None:
                v.strangers.append(f"{ident} to {rcpt}: [{qid}] had no 250")
            elif len(groups) > 1:
                v.explained.append(f"{ident} to {rcpt}: sent again after no "
                                   f"reply, {struck}")
        if len(sure - {None}) > 1:
            v.strangers.append(f"{ident}: {len(sure)} times 250")

    def judge(self):
        v = Verdict()
        with self.lock:
            by_ident = {}
            for a in self.attempts:
                by_ident.setdefault(a.ident, []).append(a)
            v.broken += self.broken
            v.strangers += self.strangers
            for ident, attempts in by_ident.items():
                for rcpt in sorted(self.rcpts[ident]):
                    key = (ident, rcpt)
                    promised = any(a.code == 250 and rcpt in a.rcpts
                                   for a in attempts)
                    there = (len(self.copies.get(key, [])) > 0,
                             key in self.dsns, key in self.waiting)
                    v.accepted += promised
                    v.delivered += there[0]
                    v.told += there[1]
                    v.queued += there[2]
                    if promised and not any(there):
                        qids = [a.qid for a in attempts if a.code == 250]
                        v.lost.append(f"{ident} to {rcpt} {qids}")
                    self._judge_key(v, key, attempts)
            self._write("verdict", **v.row("", 0))
        return v
