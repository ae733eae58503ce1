/*
 * SMTP sink: takes every message, keeps none, in one thread. It counts ids
 * (header field X-Bench-Id against the recipient's local part), so that a lost,
 * a doubled or a mixed-up message shows. A reply here promises nothing: there
 * is no durability. Loopback addresses only.
 *
 * Standard output, one JSON object a line: "expected" once --expect different
 * ids are in, "count" for every SIGUSR1, "end" at SIGTERM.
 */
#include "tests/bench/common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <netinet/tcp.h>

#define WINDOW_BYTES  (128 * 1024)
#define LISTENERS_MAX 12000
#define HEAD_MAX      8192 /* header bytes in which the id must stand */

enum mode {
	MODE_COMMAND = 0,
	MODE_DATA,
	MODE_BDAT,
	MODE_HANDSHAKE,
	MODE_LATE, /* the reply is held back by --delay-ms */
};

struct peer {
	struct link link;
	LIST_ENTRY(peer) free_entry;
	TAILQ_ENTRY(peer) late_entry;
	enum mode mode;
	bool quit;
	bool data_begun;   /* something of the content was seen */
	bool last;         /* BDAT LAST */
	char rcpt[ID_MAX]; /* local part of the first recipient */
	char id[ID_MAX];   /* of the header field; empty: not seen */
	size_t octets;     /* of content so far */
	size_t chunk_left; /* BDAT */
	int header_state;  /* 0-3: how much of the CRLFCRLF is matched */
	bool in_body;
	bool line_start;
	uint64_t body_hash; /* with --check */
	size_t body_octets;
	char head[HEAD_MAX];
	size_t head_len;
	struct finder finder; /* of --look-for */
	int64_t due_us;
};

static struct {
	struct sockaddr_in listen;
	long addresses;
	long delay_ms;
	long expect;
	bool chunking;
	bool check;
	bool no_pipelining;
	const char *look_for;
	const char *ledger;
	SSL_CTX *tls;
} opt = { .addresses = 1 };

static struct {
	int epoll;
	FILE *ledger;
	char greeting[64];
	char features[160];
	LIST_HEAD(, peer) free_peers;
	TAILQ_HEAD(, peer) late;
	uint64_t *seen; /* open addressing, 0: empty */
	size_t seen_cap;
	long count;
	long duplicates;
	long signed_n; /* with a field DKIM-Signature */
	long found;    /* with the text of --look-for */
	long mixed;    /* header and envelope name different messages */
	long unlabelled;
	long broken; /* with --check: body differs from the first one's */
	long connects;
	long tls;
	long resumed; /* of those */
	bool have_body;
	uint64_t body_hash;
	size_t body_octets;
	uint64_t bytes;
	int64_t first_us;
	int64_t last_us;
} run;

static volatile sig_atomic_t stop;
static volatile sig_atomic_t ask;

static void
on_term(int sig)
{
	(void)sig; /* one handler for all that end */
	stop = 1;
}

static void
on_ask(int sig)
{
	(void)sig; /* only one */
	ask = 1;
}

static void
report(const char *event)
{
	(void)printf(
		"{\"event\": \"%s\", \"count\": %ld, \"duplicates\": %ld, "
		"\"signed\": %ld, \"found\": %ld, "
		"\"mixed\": %ld, \"unlabelled\": %ld, "
		"\"broken\": %ld, "
		"\"connects\": %ld, \"tls\": %ld, \"resumed\": %ld, "
		"\"bytes\": %llu, "
		"\"first_us\": %lld, \"last_us\": %lld, \"cpu_s\": %.3f}\n",
		event, run.count, run.duplicates, run.signed_n, run.found,
		run.mixed, run.unlabelled, run.broken, run.connects, run.tls,
		run.resumed, (unsigned long long)run.bytes,
		(long long)run.first_us, (long long)run.last_us, cpu_seconds());
	(void)fflush(stdout);
}

/* False when it was there already. */
static bool
set_add(uint64_t *set, size_t cap, uint64_t h)
{
	size_t i = (size_t)h & (cap - 1);

	while (set[i] != 0 && set[i] != h) {
		i = (i + 1) & (cap - 1);
	}
	if (set[i] == h) {
		return false;
	}
	set[i] = h;
	return true;
}

static bool
is_new(const char *id)
{
	uint64_t h = hash_bytes(HASH_START, id, strlen(id));

	/* Spread: the table takes the low bits. Never 0. */
	h = (h ^ (h >> 29)) | 1u << 30;
	if ((size_t)run.count * 2 >= run.seen_cap) {
		size_t cap = run.seen_cap == 0 ? 1u << 16 : run.seen_cap * 2;
		uint64_t *bigger = must(calloc(cap, sizeof *bigger));

		for (size_t i = 0; i < run.seen_cap; i++) {
			if (run.seen[i] != 0) {
				(void)set_add(bigger, cap, run.seen[i]);
			}
		}
		free(run.seen);
		run.seen = bigger;
		run.seen_cap = cap;
	}
	return set_add(run.seen, run.seen_cap, h);
}

static void
find_id(struct peer *p)
{
	static const char field[] = "\nX-Bench-Id: ";
	const char *at = memmem(p->head, p->head_len, field, sizeof field - 1);
	size_t len = 0;

	p->id[0] = '\0';
	if (at == NULL) {
		return;
	}
	at += sizeof field - 1;
	while (at + len < p->head + p->head_len && len < ID_MAX - 1 &&
	       (uint8_t)at[len] > ' ') {
		p->id[len] = at[len];
		len++;
	}
	p->id[len] = '\0';
}

static bool
is_signed(const struct peer *p)
{
	static const char field[] = "\nDKIM-Signature: ";

	return memmem(p->head, p->head_len, field, sizeof field - 1) != NULL;
}

static void
check_body(struct peer *p)
{
	if (!run.have_body) {
		run.have_body = true;
		run.body_hash = p->body_hash;
		run.body_octets = p->body_octets;
	} else if (run.body_hash != p->body_hash ||
	           run.body_octets != p->body_octets) {
		run.broken++;
	}
}

static void
message_done(struct peer *p)
{
	int64_t now = now_us();

	find_id(p);
	if (p->id[0] == '\0') {
		run.unlabelled++; /* a DSN for example */
		return;
	}
	if (strcmp(p->id, p->rcpt) != 0) {
		run.mixed++;
	}
	run.signed_n += is_signed(p);
	run.found += p->finder.found;
	run.bytes += p->octets;
	if (opt.check) {
		check_body(p);
	}
	if (!is_new(p->id)) {
		run.duplicates++;
	} else {
		run.count++;
		if (run.first_us == 0) {
			run.first_us = now;
		}
		run.last_us = now;
	}
	if (run.ledger != NULL) {
		(void)fprintf(run.ledger, "%s %lld %zu\n", p->id,
		              (long long)now, p->octets);
	}
	if (opt.expect != 0 && run.count == opt.expect) {
		report("expected");
		opt.expect = 0;
	}
}

static void
content_begin(struct peer *p)
{
	p->data_begun = false;
	p->octets = 0;
	p->finder = (struct finder){ 0 };
	p->head[0] = '\n'; /* as if a line had ended before the first one */
	p->head_len = 1;
	p->header_state = 0;
	p->in_body = false;
	p->line_start = true;
	p->body_hash = HASH_START;
	p->body_octets = 0;
}

/* Body octets behind the blank line, without the dots that SMTP added. */
static void
check_content(struct peer *p, const char *data, size_t len)
{
	static const char blank[] = "\r\n\r\n";

	for (size_t i = 0; i < len; i++) {
		char ch = data[i];

		if (p->in_body) {
			bool stuffed = p->line_start && ch == '.' &&
			               p->mode == MODE_DATA;

			p->line_start = ch == '\n';
			if (!stuffed) {
				p->body_hash = hash_bytes(p->body_hash, &ch, 1);
				p->body_octets++;
			}
		} else if (ch == blank[p->header_state]) {
			p->header_state++;
			if (p->header_state == 4) {
				p->in_body = true;
			}
		} else {
			p->header_state = ch == '\r' ? 1 : 0;
		}
	}
}

static void
content(struct peer *p, const char *data, size_t len)
{
	size_t room = HEAD_MAX - p->head_len;
	size_t n = len < room ? len : room;

	memcpy(p->head + p->head_len, data, n);
	p->head_len += n;
	p->octets += len;
	if (opt.check) {
		check_content(p, data, len);
	}
	if (opt.look_for != NULL) {
		finder_put(&p->finder, opt.look_for, data, len);
	}
}

static void
reply(struct peer *p, const char *text)
{
	link_puts(&p->link, text);
}

static void
finish(struct peer *p)
{
	message_done(p);
	p->rcpt[0] = '\0';
	if (opt.delay_ms > 0) {
		p->mode = MODE_LATE;
		p->due_us = now_us() + opt.delay_ms * 1000;
		TAILQ_INSERT_TAIL(&run.late, p, late_entry);
		return;
	}
	p->mode = MODE_COMMAND;
	reply(p, "250 2.0.0 taken\r\n");
}

/*
 * Looks for <CRLF>.<CRLF> in the window. Dots are rare, so each is found by
 * memchr and its surroundings compared; four octets stay behind for a
 * terminator that is cut in two.
 */
static bool
on_data(struct peer *p)
{
	struct link *l = &p->link;
	const char *start = l->in + l->in_start;
	const char *end = l->in + l->in_end;

	if (!p->data_begun) {
		if (end - start < 3) {
			return false;
		}
		p->data_begun = true;
		if (memcmp(start, ".\r\n", 3) == 0) {
			l->in_start += 3;
			finish(p);
			return true;
		}
	}
	for (const char *q = start;;) {
		q = memchr(q, '.', (size_t)(end - q));
		if (q == NULL || end - q < 3) {
			break;
		}
		if (q - start >= 2 && q[-1] == '\n' && q[-2] == '\r' &&
		    q[1] == '\r' && q[2] == '\n') {
			content(p, start, (size_t)(q - start));
			l->in_start += (size_t)(q - start) + 3;
			finish(p);
			return true;
		}
		q++;
	}
	if (end - start > 4) {
		content(p, start, (size_t)(end - start) - 4);
		l->in_start = l->in_end - 4;
	}
	return false;
}

static bool
on_bdat(struct peer *p)
{
	struct link *l = &p->link;
	size_t n = l->in_end - l->in_start;

	if (n > p->chunk_left) {
		n = p->chunk_left;
	}
	content(p, l->in + l->in_start, n);
	l->in_start += n;
	p->chunk_left -= n;
	if (p->chunk_left > 0) {
		return false;
	}
	if (p->last) {
		finish(p);
	} else {
		p->mode = MODE_COMMAND;
		reply(p, "250 2.0.0 chunk\r\n");
	}
	return true;
}

static void
cmd_ehlo(struct peer *p)
{
	reply(p, run.features);
	if (opt.tls != NULL && p->link.ssl == NULL) {
		reply(p, "250-STARTTLS\r\n");
	}
	reply(p, "250 ENHANCEDSTATUSCODES\r\n");
}

static void
cmd_rcpt(struct peer *p, const char *line)
{
	const char *from = strchr(line, '<');
	size_t len = from == NULL ? 0 : strcspn(from + 1, "@>");

	if (p->rcpt[0] == '\0' && len > 0 && len < ID_MAX) {
		memcpy(p->rcpt, from + 1, len);
		p->rcpt[len] = '\0';
	}
	reply(p, "250 2.1.5 yes\r\n");
}

static void
cmd_bdat(struct peer *p, const char *line)
{
	char *end = NULL;
	unsigned long n = strtoul(line + 4, &end, 10);

	/* octets is reset at MAIL, so chunks add up. */
	p->chunk_left = n;
	p->last = strcasecmp(end, " LAST") == 0;
	p->mode = MODE_BDAT;
}

static void
on_command(struct peer *p, const char *line)
{
	if (strncasecmp(line, "MAIL ", 5) == 0) {
		p->rcpt[0] = '\0';
		content_begin(p);
		reply(p, "250 2.1.0 yes\r\n");
	} else if (strncasecmp(line, "RCPT ", 5) == 0) {
		cmd_rcpt(p, line);
	} else if (strcasecmp(line, "DATA") == 0) {
		p->mode = MODE_DATA;
		reply(p, "354 go\r\n");
	} else if (strncasecmp(line, "BDAT ", 5) == 0 && opt.chunking) {
		cmd_bdat(p, line);
	} else if (strncasecmp(line, "EHLO", 4) == 0) {
		cmd_ehlo(p);
	} else if (strncasecmp(line, "HELO", 4) == 0 ||
	           strcasecmp(line, "RSET") == 0 ||
	           strncasecmp(line, "NOOP", 4) == 0) {
		reply(p, "250 2.0.0 yes\r\n");
	} else if (strcasecmp(line, "STARTTLS") == 0 && opt.tls != NULL &&
	           p->link.ssl == NULL) {
		reply(p, "220 2.0.0 go\r\n");
		p->mode = MODE_HANDSHAKE;
	} else if (strcasecmp(line, "QUIT") == 0) {
		reply(p, "221 2.0.0 bye\r\n");
		p->quit = true;
	} else {
		reply(p, "500 5.5.1 unknown\r\n");
	}
}

static void
peer_close(struct peer *p)
{
	if (p->mode == MODE_LATE) {
		TAILQ_REMOVE(&run.late, p, late_entry);
	}
	link_close(&p->link);
	LIST_INSERT_HEAD(&run.free_peers, p, free_entry);
}

/* Works on what the window holds until it needs more. */
static void
consume(struct peer *p)
{
	char *line = NULL;
	size_t len = 0;
	bool going = true;

	while (going && !p->quit) {
		switch (p->mode) {
		case MODE_COMMAND:
			going = link_line(&p->link, &line, &len);
			if (going) {
				on_command(p, line);
			}
			break;
		case MODE_DATA:
			going = on_data(p);
			break;
		case MODE_BDAT:
			going = on_bdat(p);
			break;
		case MODE_HANDSHAKE:
		case MODE_LATE:
			going = false;
			break;
		}
	}
}

/* False: closed. */
static bool
flush(struct peer *p)
{
	enum link_state s = link_flush(&p->link, p);

	if (s == LINK_CLOSED || (s == LINK_OK && p->quit)) {
		peer_close(p);
		return false;
	}
	return true;
}

/* True: done, and there may be input behind it already. */
static bool
on_handshake(struct peer *p)
{
	switch (link_handshake(&p->link, p)) {
	case LINK_OK:
		p->mode = MODE_COMMAND;
		run.tls++;
		run.resumed += SSL_session_reused(p->link.ssl);
		return true;
	case LINK_WAIT:
		return false;
	case LINK_CLOSED:
		break;
	}
	peer_close(p);
	return false;
}

static void
on_event(struct peer *p, uint32_t events)
{
	if (p->mode == MODE_HANDSHAKE && !on_handshake(p)) {
		return;
	}
	if ((events & EPOLLOUT) != 0 && !flush(p)) {
		return;
	}
	for (;;) {
		enum link_state s = link_fill(&p->link);

		if (s == LINK_WAIT) {
			return;
		}
		if (s == LINK_CLOSED) {
			peer_close(p);
			return;
		}
		consume(p);
		if (!flush(p)) {
			return;
		}
		if (p->mode == MODE_HANDSHAKE) {
			link_tls(&p->link, opt.tls, true);
			return;
		}
		if (!link_more(&p->link)) {
			return;
		}
	}
}

static void
on_connect(int listener)
{
	int one = 1;

	for (;;) {
		int fd = accept4(listener, NULL, NULL,
		                 SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct peer *p;

		if (fd == -1) {
			return; /* none left, or the peer has gone again */
		}
		if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
		               sizeof one) == -1) {
			die("setsockopt");
		}
		p = LIST_FIRST(&run.free_peers);
		if (p == NULL) {
			p = must(calloc(1, sizeof *p));
			link_init(&p->link, run.epoll, WINDOW_BYTES);
		} else {
			LIST_REMOVE(p, free_entry);
		}
		p->mode = MODE_COMMAND;
		p->quit = false;
		p->rcpt[0] = '\0';
		content_begin(p);
		run.connects++;
		link_open(&p->link, fd, p);
		reply(p, run.greeting);
		(void)flush(p); /* closed or not, it is done with */
	}
}

/* Replies that --delay-ms held back; the delay is constant, so the oldest is
 * due first. Returns the time to wait for the next, -1: none. */
static int
send_late(void)
{
	struct peer *p;

	while ((p = TAILQ_FIRST(&run.late)) != NULL) {
		int64_t left = p->due_us - now_us();

		if (left > 0) {
			return (int)(left / 1000) + 1;
		}
		TAILQ_REMOVE(&run.late, p, late_entry);
		p->mode = MODE_COMMAND;
		reply(p, "250 2.0.0 taken\r\n");
		consume(p);
		(void)flush(p); /* closed or not, it is done with */
	}
	return -1;
}

/* Destination i of the load generator: 127.64.0.1 and on, 250 a /24. With one
 * address it is the one given. */
static void
listen_on(long i)
{
	struct sockaddr_in sin = opt.listen;
	struct epoll_event ev = { .events = EPOLLIN };
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (i >= 0) {
		sin.sin_addr.s_addr = htonl(
			0x7f400001u + (uint32_t)(i / 250 * 256 + i % 250));
	}
	if (fd == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == -1 ||
	    bind(fd, (struct sockaddr *)&sin, sizeof sin) == -1 ||
	    listen(fd, 4096) == -1) {
		die("listen");
	}
	/* A listener is told from a peer by its low bit. */
	ev.data.u64 = (uint64_t)fd << 1 | 1;
	if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, fd, &ev) == -1) {
		die("epoll_ctl");
	}
}

static void
loop(void)
{
	struct epoll_event ev[256];
	int wait_ms = -1;

	while (stop == 0) {
		int n = epoll_wait(run.epoll, ev, 256, wait_ms);

		if (n == -1 && errno != EINTR) {
			die("epoll_wait");
		}
		for (int i = 0; i < n; i++) {
			if ((ev[i].data.u64 & 1) != 0) {
				on_connect((int)(ev[i].data.u64 >> 1));
			} else {
				on_event(ev[i].data.ptr, ev[i].events);
			}
		}
		if (ask != 0) {
			ask = 0;
			report("count");
		}
		wait_ms = send_late();
	}
}

static const char usage[] =
	"usage: sink --listen 127.x.y.z:PORT [--addresses N]\n"
	"  [--cert F --key F] [--chunking] [--no-pipelining] [--delay-ms MS]\n"
	"  [--check] [--look-for TEXT] [--expect N] [--ledger FILE]\n"
	"--addresses N listens on N addresses from 127.64.0.1 on as well.\n"
	"--cert and --key offer STARTTLS. --check compares all bodies.\n";

static const char *cert;
static const char *key;

static const struct setting settings[] = {
	{ "--listen", .endpoint = &opt.listen },
	{ "--addresses", .number = &opt.addresses, .min = 1,
	  .max = LISTENERS_MAX },
	{ "--delay-ms", .number = &opt.delay_ms, .min = 1, .max = 600000 },
	{ "--expect", .number = &opt.expect, .min = 1, .max = 100000000 },
	{ "--cert", .text = &cert },
	{ "--key", .text = &key },
	{ "--ledger", .text = &opt.ledger },
	{ "--look-for", .text = &opt.look_for },
	{ "--chunking", .flag = &opt.chunking },
	{ "--no-pipelining", .flag = &opt.no_pipelining },
	{ "--check", .flag = &opt.check },
};

static void
parse_options(int argc, char **argv)
{
	settings_parse(settings, sizeof settings / sizeof *settings, usage,
	               argc, argv);
	if (opt.listen.sin_port == 0 ||
	    (opt.look_for != NULL &&
	     (*opt.look_for == '\0' || strlen(opt.look_for) > FIND_MAX))) {
		(void)fputs(usage, stderr);
		exit(2);
	}
	if (cert != NULL || key != NULL) {
		opt.tls = tls_context(true, cert, key, NULL);
	}
}

static void
prepare(void)
{
	(void)snprintf(run.greeting, sizeof run.greeting,
	               "220 sink.bench.test ESMTP\r\n");
	(void)snprintf(run.features, sizeof run.features,
	               "250-sink.bench.test\r\n%s250-8BITMIME\r\n"
	               "250-SIZE 209715200\r\n%s",
	               opt.no_pipelining ? "" : "250-PIPELINING\r\n",
	               opt.chunking ? "250-CHUNKING\r\n" : "");
	LIST_INIT(&run.free_peers);
	TAILQ_INIT(&run.late);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run.epoll == -1) {
		die("epoll_create1");
	}
	if (opt.ledger != NULL) {
		run.ledger = fopen(opt.ledger, "w");
		if (run.ledger == NULL) {
			die(opt.ledger);
		}
	}
	struct sigaction sa = { .sa_handler = on_term };
	struct sigaction usr = { .sa_handler = on_ask };

	if (sigaction(SIGTERM, &sa, NULL) == -1 ||
	    sigaction(SIGINT, &sa, NULL) == -1 ||
	    sigaction(SIGUSR1, &usr, NULL) == -1) {
		die("sigaction");
	}
}

int
main(int argc, char **argv)
{
	parse_options(argc, argv);
	prepare();
	listen_on(-1);
	for (long i = 0; opt.addresses > 1 && i < opt.addresses; i++) {
		listen_on(i);
	}
	report("ready");
	loop();
	if (run.ledger != NULL && fclose(run.ledger) != 0) {
		die(opt.ledger);
	}
	report("end");
	return 0;
}
