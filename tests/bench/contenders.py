"""The gateways that are compared, each as a throw-away in a folder of its own.

All relay from a loopback port to the sink, log to a file and keep their queue
on the same file system. Every process is ended through the one that was
started.
"""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

from measure import Group

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests"))
import postfix  # noqa: E402, it stands in tests/
BUILD = os.environ.get("SORTIE_BUILD") or os.path.join(ROOT, "build")
PEERS = os.path.join(ROOT, "build", "peers")
READY_S = 20
STOP_S = 30
SINK_ADDRESS = "127.63.0.1"
GATEWAY_ADDRESS = "127.0.0.2"


class Unavailable(Exception):
    """A contender cannot run this scenario; the text says why."""


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    os.chmod(path, mode)


def destination_address(i):
    """The sink's address for domain d<i>.bench.test (sink --addresses)."""
    return f"127.64.{i // 250}.{i % 250 + 1}"


class Contender:
    """start() leaves it ready for mail on self.address:self.port."""

    name = ""
    durable = ""
    address = "127.0.0.1"
    rest_s = 0.3  # between the warm-up and the measured load

    def __init__(self, folder, port, sink_port, tls=None, domains=1):
        self.folder = folder
        self.port = port
        self.sink_port = sink_port
        self.tls = tls  # folder with ca.pem gateway.pem gateway.key, or None
        self.key = None  # of DKIM signatures for example.com, or None
        self.stationery = False
        self.domains = domains
        self.process = None
        self.group = None
        self.log = None

    def configure(self):
        raise NotImplementedError

    def command(self):
        raise NotImplementedError

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.configure()
        self.group = Group(self.name)
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, start_new_session=True,
            preexec_fn=self.group.join)
        self.group.root_pid = self.process.pid
        deadline = time.monotonic() + READY_S
        while not self.ready():
            if self.process.poll() is not None or \
                    time.monotonic() > deadline:
                tail = self.log_tail()
                self.stop()
                raise RuntimeError(f"{self.name} does not start:\n{tail}")
            time.sleep(0.05)

    def log_tail(self):
        with open(os.path.join(self.folder, "log"), "rb") as f:
            return f.read()[-2000:].decode(errors="replace")

    def ready(self):
        try:
            with socket.create_connection((self.address, self.port),
                                          timeout=10) as s:
                greeting = s.recv(200)
                s.sendall(b"QUIT\r\n")
                return greeting.startswith(b"220")
        except OSError:
            return False

    def stop(self):
        """Returns the exit status; a process that will not end is killed."""
        status = None
        if self.process is not None:
            if self.process.poll() is None:
                self.process.terminate()
            try:
                status = self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                status = self.process.wait()
            self.process = None
        if self.group is not None:
            for pid in self.group.pids() if self.group.path else []:
                try:
                    os.kill(pid, signal.SIGKILL)  # of our own group only
                except ProcessLookupError:
                    pass
            self.group.close()
            self.group = None
        if self.log is not None:
            self.log.close()
            self.log = None
        return status


STATIONERY_TEXT = "Bench Ltd, registered in England 0123456"
STATIONERY_HTML = ("<p style=\"font-size: 10px; color: #666666\">" +
                   STATIONERY_TEXT + ". This message is confidential.</p>\n")

ALTERMIME = "/usr/bin/altermime"
# The way that everybody describes: a process reads the message, edits it, and
# gives it back. It signs behind the edit, or the signature would be broken.
FILTER = """\
#!/bin/sh
f=$(mktemp {folder}/filter/XXXXXXXX) || exit 75
trap 'rm -f "$f"' EXIT
cat >"$f" || exit 75
{altermime} --input="$f" --disclaimer={folder}/disclaimer.txt \\
	--disclaimer-html={folder}/disclaimer.html || exit 75
/usr/sbin/sendmail -G -i "$@" <"$f"
"""
# sendmail and postdrop want the configuration where it is usual.
FILTER_START = """\
set -e
mount --make-rprivate /
cp -r /etc/postfix/postfix-files* /etc/postfix/dynamicmaps.cf* "$1"
mount --bind "$1" /etc/postfix
shift
exec "$@"
"""

OPENDKIM = "/usr/sbin/opendkim"
OPENDKIM_CONF = """\
Socket local:{folder}/dkim.sock
UMask 000
Mode s
Domain example.com
Selector bench
KeyFile {key}
SignatureAlgorithm {algorithm}
Canonicalization relaxed/relaxed
OversignHeaders From
InternalHosts 127.0.0.0/8
Syslog no
RequireSafeKeys no
UserID root
"""


class Postfix(Contender):
    """Tuned as a relay: nothing slows clients down, connections are reused,
    no DNS."""

    name = "postfix"
    durable = "fsync of every queue file"
    instance = None

    def configure(self):
        why = postfix.why_not()
        if why is not None:
            raise Unavailable(why)
        sink = f"[{SINK_ADDRESS}]:{self.sink_port}"
        settings = {
            "inet_interfaces": self.address,
            "myhostname": "postfix.bench.test",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_recipient_restrictions": "",
            "relayhost": sink,
            "message_size_limit": 209715200,
            "default_process_limit": 300,
            "smtpd_client_connection_count_limit": 0,
            "smtpd_client_connection_rate_limit": 0,
            "smtpd_client_event_limit_exceptions": "127.0.0.0/8",
            "smtpd_error_sleep_time": 0,
            "smtpd_soft_error_limit": 1000,
            "max_use": 10000,
            "smtp_connection_cache_on_demand": "yes",
            "smtp_connection_cache_destinations": sink,
            "smtp_connection_cache_time_limit": "10s",
            "smtp_connection_reuse_time_limit": "300s",
            "initial_destination_concurrency": 20,
            "default_destination_concurrency_limit": 50,
            "smtp_destination_concurrency_limit": 50,
            "qmgr_message_active_limit": 20000,
            "smtp_tls_security_level": "encrypt" if self.tls else "none",
            "smtpd_tls_security_level": "may" if self.tls else "none",
        }
        if self.tls:
            cache = f"btree:{self.folder}/data"
            settings |= {
                "smtpd_tls_cert_file": f"{self.tls}/gateway.pem",
                "smtpd_tls_key_file": f"{self.tls}/gateway.key",
                "smtp_tls_CAfile": f"{self.tls}/ca.pem",
                "smtp_tls_session_cache_database": cache + "/smtp_scache",
                "smtpd_tls_session_cache_database": cache + "/smtpd_scache",
                "smtp_tls_connection_reuse": "yes",
            }
        if self.key:
            settings |= self.configure_milter()
        own = {}
        if self.stationery:
            own = {"content_filter": "filter:dummy", "smtpd_milters": ""}
            settings["non_smtpd_milters"] = settings["smtpd_milters"]
        self.instance = postfix.PostfixInstance(
            self.folder, {f"{self.address}:{self.port}": own}, settings,
            smtpds=300, smtps=200)
        self.instance.write()
        if self.stationery:
            self.configure_filter()

    def configure_filter(self):
        if not os.path.exists(ALTERMIME):
            raise Unavailable("the package altermime is not installed")
        os.mkdir(self.folder + "/filter")
        shutil.chown(self.folder + "/filter", "nobody")
        write(self.folder + "/disclaimer.txt", STATIONERY_TEXT + "\n")
        write(self.folder + "/disclaimer.html", STATIONERY_HTML)
        write(self.folder + "/disclaim", FILTER.format(
            folder=self.folder, altermime=ALTERMIME), 0o755)
        with open(self.instance.conf / "master.cf", "a",
                  encoding="ascii") as f:
            f.write("filter unix - n n - 20 pipe flags=Rq user=nobody\n"
                    f"    argv={self.folder}/disclaim -f ${{sender}} -- "
                    "${recipient}\n")

    def configure_milter(self):
        if not os.path.exists(OPENDKIM):
            raise Unavailable("the package opendkim is not installed")
        algorithm = "ed25519-sha256" if "ed25519" in self.key else "rsa-sha256"
        write(self.folder + "/opendkim.conf", OPENDKIM_CONF.format(
            folder=self.folder, key=self.key, algorithm=algorithm))
        return {
            "smtpd_milters": f"unix:{self.folder}/dkim.sock",
            "milter_default_action": "tempfail",
        }

    def command(self):
        start = self.instance.command("start-fg")
        if self.stationery:
            start = ["unshare", "-m", "sh", "-c", FILTER_START, "sh",
                     str(self.instance.conf), "/usr/sbin/postfix", "start-fg"]
        if not self.key:
            return start
        return ["sh", "-c", '"$1" -f -x "$2" & shift 2; exec "$@"', "sh",
                OPENDKIM, self.folder + "/opendkim.conf", *start]

    def stop(self):
        # what start-fg started is a shell that waits for the master
        if self.instance is not None:
            self.instance.stop()
        return super().stop()


SMTPD_CONF = """\
queue ttl 1h
smtp max-message-size 200M
smtp limit max-mails 100000
mta limit max-conn-per-host 50
mta limit max-conn-per-route 50
mta limit max-conn-per-source 50
mta limit max-conn-per-connector 50
mta limit max-conn-per-relay 50
mta limit max-conn-per-domain 50
mta limit conn-delay-host 0
mta limit conn-delay-route 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
mta limit reconn-delay-route 0
mta limit session-transaction-delay 0
mta limit session-keepalive 0
mta limit task-hiwat 1000
mta limit task-lowat 500
mta limit task-release 500
mta limit max-failures-per-session 1000
scheduler limit max-inflight 20000
listen on 127.0.0.1 port {port} hostname opensmtpd.bench.test
action "out" relay host "smtp://{sink}:{sink_port}"
match from any for any action "out"
"""

# Its queue, run and chroot paths are compiled in: they are bound to private
# folders in a mount namespace of its own, with users that exist there only.
SMTPD_START = """\
set -e
mount --make-rprivate /
mount --bind "$1/etc/passwd" /etc/passwd
mount --bind "$1/etc/group" /etc/group
mount --bind "$1/etc/resolv.conf" /etc/resolv.conf
mount --bind "$1/spool" /var/spool
mount --bind "$1/run" /run
mount --bind "$1/lib" /var/lib
exec "$2" -d -f "$1/etc/smtpd.conf"
"""


class Opensmtpd(Contender):
    name = "opensmtpd"
    durable = "none: it never syncs"
    rest_s = 12  # a route that has just gone idle is not used again for 10 s

    def configure(self):
        binary = self.binary()
        if not os.path.exists(binary):
            raise Unavailable("opensmtpd is not unpacked in build/peers")
        if self.tls:
            raise Unavailable("its 6.8 cannot take STARTTLS with OpenSSL 3")
        etc = self.folder + "/etc"
        write(etc + "/smtpd.conf", SMTPD_CONF.format(
            port=self.port, sink=SINK_ADDRESS, sink_port=self.sink_port))
        write(etc + "/resolv.conf", "lookup file\n")
        with open("/etc/passwd", encoding="utf-8") as f:
            passwd = [line for line in f if not line.startswith("opensmtp")]
        with open("/etc/group", encoding="utf-8") as f:
            group = [line for line in f if not line.startswith("opensmtp")]
        for name, uid in (("opensmtpd", 64990), ("opensmtpq", 64991)):
            passwd.append(f"{name}:x:{uid}:{uid}::/nonexistent:/bin/false\n")
            group.append(f"{name}:x:{uid}:\n")
        write(etc + "/passwd", "".join(passwd))
        write(etc + "/group", "".join(group))
        for d in ("spool", "run", "lib/opensmtpd/empty"):
            os.makedirs(os.path.join(self.folder, d), 0o755)
        spool = self.folder + "/spool/smtpd"
        os.makedirs(spool, 0o711)
        for d, uid, gid, mode in (
                ("queue", 64991, 0, 0o700), ("corrupt", 64991, 0, 0o700),
                ("incoming", 64991, 0, 0o700), ("purge", 64991, 0, 0o700),
                ("temporary", 64991, 0, 0o700),
                ("offline", 0, 64991, 0o770)):
            os.mkdir(f"{spool}/{d}")
            os.chown(f"{spool}/{d}", uid, gid)
            os.chmod(f"{spool}/{d}", mode)

    @staticmethod
    def binary():
        found = glob.glob(PEERS + "/opensmtpd/usr/sbin/smtpd")
        return found[0] if found else PEERS + "/opensmtpd/usr/sbin/smtpd"

    def command(self):
        return ["unshare", "-m", "sh", "-c", SMTPD_START, "sh", self.folder,
                self.binary()]


SORTIE_CONF = """\
gateway = {{
    hostname = "gateway.bench.test";
    listen = ( {{ address = "{address}:{port}"; }} );
    state_dir = "{folder}/state";
    api_socket = "{folder}/api.sock";
{tls}}};
limits = {{ connections = 5000; connections_per_client = 5000; }};
resolver = {{ local_data = (
{records}
); }};
delivery = {{ port = {sink_port}; forbidden_networks = ( ); }};
authorized_outbound = ( {{ network = "127.0.0.0/8"; }} );
internal_domains = ( {{ domain = "example.com"; }} );
definitions = {{
{definitions}}};
policies = {{
{signing}    secure_delivery = ( {{ narrative = "Bench"; option = "{option}"; }} );
    auto_allow_creation = ( {{ from = "internal"; to = "external"; }} );
}};
"""


SORTIE_KEY = """\
    dns_authentication = (
        {{ name = "bench"; domain = "example.com"; selector = "bench";
          key_file = "{key}"; }} );
"""
SORTIE_LAYOUT = """\
    stationery_layouts = (
        {{ name = "bench"; html_file = "bench.html"; text_file = "bench.txt";
          unique_text = "{text}"; }} );
"""
SORTIE_SIGNS = """\
    dns_authentication = ( { from = "internal"; definition = "bench"; } );
"""


SORTIE_STATIONERY = """\
    stationery = ( { from = "internal"; layout = "bench"; } );
"""


class Sortied(Contender):
    name = "sortied"
    durable = "group commit, synced before 250"
    address = GATEWAY_ADDRESS

    def configure(self):
        if not os.path.exists(self.binary()):
            raise Unavailable(f"{self.binary()} is not built")
        names = [("bench.test", SINK_ADDRESS)] if self.domains == 1 else \
            [(f"d{i}.bench.test", destination_address(i))
             for i in range(self.domains)]
        records = []
        for domain, address in names:
            records.append(f'"{domain}. 3600 IN MX 10 mx.{domain}."')
            records.append(f'"mx.{domain}. 3600 IN A {address}"')
        tls = "" if not self.tls else (
            f'    certificate = "{self.tls}/gateway.pem";\n'
            f'    key = "{self.tls}/gateway.key";\n'
            f'    ca_file = "{self.tls}/ca.pem";\n')
        os.makedirs(self.folder + "/state", 0o700)
        write(self.folder + "/sortie.conf", SORTIE_CONF.format(
            address=self.address, port=self.port, folder=self.folder,
            sink_port=self.sink_port, tls=tls,
            definitions=self.definitions(),
            signing=(SORTIE_SIGNS if self.key else "") +
            (SORTIE_STATIONERY if self.stationery else ""),
            option="enforced_tls" if self.tls else
            "secure_smtp_where_possible",
            records=",\n".join("    " + r for r in records)))

    def definitions(self):
        text = SORTIE_KEY.format(key=self.key) if self.key else ""
        if self.stationery:
            write(self.folder + "/bench.txt", STATIONERY_TEXT + "\n")
            write(self.folder + "/bench.html", STATIONERY_HTML)
            text += SORTIE_LAYOUT.format(text=STATIONERY_TEXT)
        return text

    @staticmethod
    def binary():
        return os.path.join(BUILD, "sortied")

    def command(self):
        return [self.binary(), "-c", self.folder + "/sortie.conf"]

    def ready(self):
        return "event=ready" in self.log_tail() and super().ready()


HARAKA_PLUGIN = """\
exports.hook_rcpt = function (next, connection) {{
  connection.relaying = true
  next(OK)
}}
exports.hook_data = function (next, connection) {{
  const banner = {banner}
  if (banner) {{
    connection.transaction.parse_body = true
    connection.transaction.set_banner(banner[0], banner[1])
  }}
  next()
}}
exports.hook_get_mx = function (next, hmail, domain) {{
  next(OK, {{ exchange: '{sink}', port: {sink_port}, priority: 0 }})
}}
"""


class Haraka(Contender):
    """A process for each core, its own queue, its DKIM plug-in."""

    name = "haraka"
    durable = "fsync of every queue file, not of the folder"

    def configure(self):
        if not os.path.exists(self.program()):
            raise Unavailable("Haraka is not installed in build/peers")
        if self.domains > 1:
            raise Unavailable("one destination only")
        if self.key and "ed25519" in self.key:
            raise Unavailable("it signs with RSA only")
        config = self.folder + "/config"
        shutil.copytree(PEERS + "/haraka/node_modules/Haraka/config", config)
        banner = "null"
        if self.stationery:
            banner = json.dumps([STATIONERY_TEXT, STATIONERY_HTML])
        write(config + "/smtp.ini",
              f"listen={self.address}:{self.port}\n"
              f"nodes={os.cpu_count()}\n")
        write(config + "/me", "haraka.bench.test\n")
        write(config + "/loglevel", "WARN\n")
        write(config + "/outbound.ini", "concurrency_max=100\nenable_tls=" +
              ("true" if self.tls else "false") + "\n")
        plugins = ["bench"]
        if self.tls:
            plugins.insert(0, "tls")
            shutil.copy(self.tls + "/gateway.key", config + "/tls_key.pem")
            shutil.copy(self.tls + "/gateway.pem", config + "/tls_cert.pem")
        if self.key:
            plugins.append("haraka-plugin-dkim")
            write(config + "/dkim.ini",
                  "[sign]\nenabled=true\nselector=bench\n"
                  "domain=example.com\n[verify]\nenabled=false\n")
            os.makedirs(config + "/dkim/example.com")
            shutil.copy(self.key, config + "/dkim/example.com/private")
            write(config + "/dkim/example.com/selector", "bench\n")
        write(config + "/plugins", "\n".join(plugins) + "\n")
        write(self.folder + "/plugins/bench.js", HARAKA_PLUGIN.format(
            banner=banner, sink=SINK_ADDRESS, sink_port=self.sink_port))
        os.symlink(PEERS + "/haraka/node_modules",
                   self.folder + "/node_modules")

    @staticmethod
    def program():
        return PEERS + "/haraka/node_modules/Haraka/bin/haraka"

    def command(self):
        return ["node", self.program(), "-c", self.folder]


CONTENDERS = {c.name: c for c in (Postfix, Opensmtpd, Haraka, Sortied)}
