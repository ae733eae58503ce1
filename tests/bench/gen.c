/*
 * Load generator: an SMTP client with many connections in one thread. It
 * pipelines MAIL, RCPT and DATA where the server offers it and waits for each
 * final reply, as mail servers do. A message whose fate is open (4xx, a lost
 * connection) goes out again under the same id; one with a 250 never does.
 * Every 250 stands in the ledger with the times of its dot and its reply.
 */
#include "tests/bench/common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <netinet/tcp.h>

#define WINDOW_BYTES 4096
#define TICK_MS      5
#define BACK_OFF_US  50000 /* before a connection that failed starts again */
#define RAMP_US      1000  /* between first connects: listen queues are short */
#define RAMP_MAX_US  100000
#define BANNER_US    3000000 /* no greeting by then: the queue overflowed */
#define GOODBYE_US   1000000 /* for the last replies to QUIT */
#define RECORD_MAX   12288 /* of a body that fits a TLS record with its head */

enum stage {
	STAGE_DOWN = 0, /* waits for start_us */
	STAGE_BANNER,
	STAGE_EHLO,
	STAGE_STARTTLS,
	STAGE_HANDSHAKE,
	STAGE_READY, /* between messages, for the rate's sake */
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA,
	STAGE_DOT,
	STAGE_QUIT,
};

struct client {
	struct link link;
	enum stage stage;
	bool pipelining;
	bool offers_tls;
	bool skip;    /* the envelope was refused: end the transaction */
	long done;    /* messages on this connection */
	long current; /* sequence number, -1: none */
	long ahead;   /* its envelope went out behind current's dot */
	int64_t dot_us;
	int64_t start_us;
};

static struct {
	struct sockaddr_in to;
	long connections;
	long per_connection;
	long messages;
	long seconds; /* 0: until all messages are through */
	long size;
	long domains;
	long rate; /* messages a second, 0: as fast as it goes */
	long source_ips;
	long attempts;
	long timeout;
	bool ahead;
	bool lock_step;
	bool alternative;
	const char *from;
	const char *prefix;
	const char *ledger;
	SSL_CTX *tls;
} opt = { .connections = 20,
	  .per_connection = 100,
	  .messages = 10000,
	  .size = 4096,
	  .domains = 1,
	  .attempts = 10,
	  .timeout = 300,
	  .from = "sender@example.com",
	  .prefix = "m" };

static struct {
	int epoll;
	FILE *ledger;
	struct client *client;
	char *body; /* stuffed, ends with the dot line */
	size_t body_len;
	uint8_t *tries; /* by sequence number */
	size_t tries_cap;
	long *again; /* stack of sequence numbers to send once more */
	size_t again_n;
	size_t again_cap;
	long next;      /* first sequence number never sent */
	long in_flight; /* taken, not yet judged */
	long open;      /* connections that are up */
	long accepted;
	long refused;   /* 5xx */
	long exhausted; /* attempts used up */
	long retried;
	long ambiguous; /* connection lost between dot and reply */
	long dropped;   /* connections lost or failed */
	long connects;
	int64_t start_us;
	int64_t first_mail_us;
	int64_t last_reply_us;
	struct samples reply;
	char last_refusal[256];
} run;

static volatile sig_atomic_t stop;

static void
on_signal(int sig)
{
	(void)sig; /* any of them means the same */
	stop = 1;
}

static const char header_fixed[] =
	"To: recipient@bench.test\r\n"
	"Subject: A message of the load generator\r\n"
	"Date: Tue, 24 Nov 2026 03:57:55 +0000\r\n"
	"MIME-Version: 1.0\r\n";

/* The next message to send, or -1 when none is left for now. */
static long
take(void)
{
	long seq;

	if (run.again_n > 0) {
		seq = run.again[--run.again_n];
	} else {
		int64_t age = now_us() - run.start_us;

		if (opt.seconds > 0 ? age >= opt.seconds * 1000000
		                    : run.next >= opt.messages) {
			return -1;
		}
		if (opt.rate > 0 && run.next * 1000000 >= age * opt.rate) {
			return -1;
		}
		seq = run.next++;
		if ((size_t)seq >= run.tries_cap) {
			run.tries_cap = run.tries_cap * 2 + 65536;
			run.tries = must(realloc(run.tries, run.tries_cap));
		}
		run.tries[seq] = 0;
	}
	run.in_flight++;
	return seq;
}

/* Will take() ever give something again? */
static bool
exhausted(void)
{
	if (stop != 0) {
		return true;
	}
	if (run.again_n > 0 || run.in_flight > 0) {
		return false;
	}
	return opt.seconds > 0
	               ? now_us() - run.start_us >= opt.seconds * 1000000
	               : run.next >= opt.messages;
}

static void
put_back(long seq)
{
	run.in_flight--;
	if (++run.tries[seq] >= opt.attempts) {
		run.exhausted++;
		return;
	}
	run.retried++;
	if (run.again_n == run.again_cap) {
		run.again_cap = run.again_cap * 2 + 64;
		run.again = must(reallocarray(run.again, run.again_cap,
		                              sizeof *run.again));
	}
	run.again[run.again_n++] = seq;
}

static void
drop(struct client *c, int64_t back_off_us)
{
	if (c->current != -1) {
		if (c->stage == STAGE_DOT) {
			run.ambiguous++;
		}
		put_back(c->current);
	}
	if (c->ahead != -1) {
		put_back(c->ahead);
	}
	if (c->link.fd != -1) {
		run.open--;
	}
	link_close(&c->link);
	c->stage = STAGE_DOWN;
	c->current = -1;
	c->ahead = -1;
	c->start_us = now_us() + back_off_us;
}

static void
lost(struct client *c)
{
	run.dropped++;
	drop(c, BACK_OFF_US);
}

static void
start(struct client *c)
{
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd == -1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == -1) {
		die("socket");
	}
	if (opt.source_ips > 0) {
		uint32_t n = (uint32_t)(run.connects % opt.source_ips);
		struct sockaddr_in from = { .sin_family = AF_INET,
			                    .sin_addr.s_addr =
			                            htonl(0x7f010001u + n) };

		if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
		               sizeof one) == -1 ||
		    bind(fd, (struct sockaddr *)&from, sizeof from) == -1) {
			die("bind");
		}
	}
	run.connects++;
	run.open++;
	c->start_us = now_us();
	c->stage = STAGE_BANNER;
	c->pipelining = false;
	c->offers_tls = false;
	c->skip = false;
	c->done = 0;
	link_open(&c->link, fd, c);
	if (connect(fd, (struct sockaddr *)&opt.to, sizeof opt.to) == -1 &&
	    errno != EINPROGRESS) {
		lost(c);
	}
}

static void
put_mail(struct client *c)
{
	link_puts(&c->link, "MAIL FROM:<");
	link_puts(&c->link, opt.from);
	link_puts(&c->link, ">\r\n");
}

static void
put_rcpt(struct client *c, long seq)
{
	char line[160];
	int n = opt.domains == 1
	                ? snprintf(line, sizeof line,
	                           "RCPT TO:<%s%09ld@bench.test>\r\n",
	                           opt.prefix, seq)
	                : snprintf(line, sizeof line,
	                           "RCPT TO:<%s%09ld@d%ld.bench.test>\r\n",
	                           opt.prefix, seq, seq % opt.domains);

	link_put(&c->link, line, (size_t)n);
}

static void
put_envelope(struct client *c, long seq)
{
	put_mail(c);
	if (c->pipelining) {
		put_rcpt(c, seq);
		link_puts(&c->link, "DATA\r\n");
	}
}

static void
put_content(struct client *c)
{
	char head[256];
	int n = snprintf(head, sizeof head,
	                 "X-Bench-Id: %s%09ld\r\nFrom: Sender <%s>\r\n"
	                 "Message-ID: <%s%09ld@bench.example.com>\r\n",
	                 opt.prefix, c->current, opt.from, opt.prefix,
	                 c->current);

	link_put(&c->link, head, (size_t)n);
	link_put(&c->link, header_fixed, sizeof header_fixed - 1);
	if (c->ahead != -1) {
		link_put(&c->link, run.body, run.body_len);
		put_envelope(c, c->ahead);
		return;
	}
	if (c->link.ssl != NULL && run.body_len < RECORD_MAX) {
		/* One record and one system call are worth the copy. */
		link_put(&c->link, run.body, run.body_len);
		return;
	}
	c->link.tail = run.body;
	c->link.tail_len = run.body_len;
}

static void
put_quit(struct client *c)
{
	c->stage = STAGE_QUIT;
	link_puts(&c->link, "QUIT\r\n");
}

/* The connection is between two messages. */
static void
next_message(struct client *c)
{
	if (c->done >= opt.per_connection) {
		put_quit(c);
		return;
	}
	c->current = take();
	if (c->current == -1) {
		if (exhausted()) {
			put_quit(c);
		} else {
			c->stage = STAGE_READY;
		}
		return;
	}
	if (run.first_mail_us == 0) {
		run.first_mail_us = now_us();
	}
	c->stage = STAGE_MAIL;
	put_envelope(c, c->current);
}

static void
note_refusal(const char *line)
{
	(void)snprintf(run.last_refusal, sizeof run.last_refusal, "%.200s",
	               line);
}

/* A reply that is not the hoped-for one ends the connection: what the server
 * thinks of the rest of the transaction is not this program's subject. */
static void
refused(struct client *c, const char *line)
{
	note_refusal(line);
	if (c->current != -1 && line[0] == '5') {
		run.refused++;
		run.in_flight--;
		c->current = -1;
	}
	/* Judged, whatever it was: nothing is ambiguous about it. */
	if (c->stage == STAGE_DOT) {
		c->stage = STAGE_MAIL;
	}
	drop(c, line[0] == '5' ? 0 : BACK_OFF_US);
}

static void
accepted(struct client *c, const char *line)
{
	int64_t now = now_us();

	run.accepted++;
	run.in_flight--;
	run.last_reply_us = now;
	samples_add(&run.reply, now - c->dot_us);
	if (run.ledger != NULL) {
		(void)fprintf(run.ledger, "%s%09ld %lld %lld %.100s\n",
		              opt.prefix, c->current, (long long)c->dot_us,
		              (long long)now, line);
	}
	c->done++;
	c->current = c->ahead;
	c->ahead = -1;
	if (c->current == -1) {
		next_message(c);
		return;
	}
	c->stage = STAGE_MAIL;
}

static void
on_ehlo(struct client *c)
{
	if (opt.tls != NULL && c->link.ssl == NULL) {
		if (!c->offers_tls) {
			note_refusal("STARTTLS is not offered");
			lost(c);
			return;
		}
		c->stage = STAGE_STARTTLS;
		link_puts(&c->link, "STARTTLS\r\n");
		return;
	}
	next_message(c);
}

static void
on_data(struct client *c)
{
	if (opt.ahead && c->pipelining && c->done + 1 < opt.per_connection) {
		c->ahead = take();
	}
	c->stage = STAGE_DOT;
	c->dot_us = now_us();
	put_content(c);
}

static void
put_ehlo(struct client *c)
{
	c->stage = STAGE_EHLO;
	c->pipelining = false;
	link_puts(&c->link, "EHLO bench.example.com\r\n");
}

/* The last line of a reply with the code hoped for. */
static void
on_good_reply(struct client *c, const char *line)
{
	switch (c->stage) {
	case STAGE_BANNER:
		put_ehlo(c);
		break;
	case STAGE_EHLO:
		on_ehlo(c);
		break;
	case STAGE_STARTTLS:
		c->stage = STAGE_HANDSHAKE;
		link_tls(&c->link, opt.tls, false);
		break;
	case STAGE_MAIL:
		c->stage = STAGE_RCPT;
		if (!c->pipelining) {
			put_rcpt(c, c->current);
		}
		break;
	case STAGE_RCPT:
		c->stage = STAGE_DATA;
		if (!c->pipelining) {
			link_puts(&c->link, "DATA\r\n");
		}
		break;
	case STAGE_DATA:
		on_data(c);
		break;
	case STAGE_DOT:
		accepted(c, line);
		break;
	case STAGE_QUIT:
		drop(c, 0);
		break;
	case STAGE_DOWN:
	case STAGE_HANDSHAKE:
	case STAGE_READY:
		refused(c, line); /* 421 for example */
		break;
	}
}

static void
on_line(struct client *c, const char *line, size_t len)
{
	char hoped = c->stage == STAGE_DATA ? '3' : '2';

	if (c->stage == STAGE_EHLO && len > 4) {
		if (strcmp(line + 4, "PIPELINING") == 0) {
			c->pipelining = !opt.lock_step;
		} else if (strcmp(line + 4, "STARTTLS") == 0) {
			c->offers_tls = true;
		}
	}
	if (len < 3 || (len > 3 && line[3] == '-')) {
		return;
	}
	if (c->stage == STAGE_QUIT) {
		drop(c, 0);
	} else if (line[0] != hoped) {
		refused(c, line);
	} else {
		on_good_reply(c, line);
	}
}

static void
flush(struct client *c)
{
	if (c->link.fd == -1 || c->stage == STAGE_HANDSHAKE) {
		return;
	}
	if (link_flush(&c->link, c) == LINK_CLOSED) {
		lost(c);
	}
}

static bool
handshake(struct client *c)
{
	switch (link_handshake(&c->link, c)) {
	case LINK_OK:
		put_ehlo(c);
		flush(c);
		return c->link.fd != -1;
	case LINK_WAIT:
		return false;
	case LINK_CLOSED:
		break;
	}
	note_refusal("TLS handshake failed");
	lost(c);
	return false;
}

static void
on_event(struct client *c, uint32_t events)
{
	char *line = NULL;
	size_t len = 0;

	if (c->stage == STAGE_HANDSHAKE && !handshake(c)) {
		return;
	}
	if ((events & EPOLLOUT) != 0) {
		flush(c);
	}
	while (c->link.fd != -1 && c->stage != STAGE_HANDSHAKE) {
		enum link_state s = link_fill(&c->link);

		if (s == LINK_WAIT) {
			break;
		}
		if (s == LINK_CLOSED) {
			if (c->stage == STAGE_QUIT) {
				drop(c, 0);
			} else {
				lost(c);
			}
			break;
		}
		while (c->link.fd != -1 && link_line(&c->link, &line, &len)) {
			on_line(c, line, len);
		}
		flush(c);
		if (!link_more(&c->link)) {
			break;
		}
	}
	if (c->stage == STAGE_HANDSHAKE && c->link.fd != -1) {
		/* The 220 is read; the ClientHello can go. */
		(void)handshake(c);
	}
	if (c->stage == STAGE_DOWN && c->start_us <= now_us() && !exhausted()) {
		start(c);
	}
}

/* Connections that wait for time: a back-off or the rate. */
static void
tick(void)
{
	static long first; /* rotates, so that a low rate uses all of them */
	int64_t now = now_us();

	for (long i = 0; i < opt.connections; i++) {
		struct client *c = &run.client[(first + i) % opt.connections];

		if (c->stage == STAGE_DOWN && c->start_us <= now &&
		    !exhausted()) {
			start(c);
		} else if (c->stage == STAGE_READY) {
			next_message(c);
			flush(c);
		} else if (c->stage == STAGE_BANNER &&
		           now - c->start_us > BANNER_US) {
			lost(c);
		}
	}
	first = (first + 1) % opt.connections;
}

static void
loop(void)
{
	struct epoll_event ev[256];
	int64_t last_tick = 0;
	int64_t end_us = 0;

	while (run.open > 0 || !exhausted()) {
		int n = epoll_wait(run.epoll, ev, 256, TICK_MS);
		int64_t now = now_us();

		if (n == -1 && errno != EINTR) {
			die("epoll_wait");
		}
		for (int i = 0; i < n; i++) {
			on_event(ev[i].data.ptr, ev[i].events);
		}
		if (now - last_tick >= TICK_MS * 1000) {
			last_tick = now;
			tick();
		}
		if (end_us == 0 && exhausted()) {
			end_us = now + GOODBYE_US;
		}
		if ((end_us != 0 && run.in_flight == 0 && now > end_us) ||
		    now - run.start_us > opt.timeout * 1000000) {
			break;
		}
	}
}

/* Messages without a verdict, those that never went out included. */
static long
unfinished(void)
{
	long unsent = opt.seconds > 0 ? 0 : opt.messages - run.next;

	return run.in_flight + (long)run.again_n + unsent;
}

static void
report(void)
{
	double seconds = (double)(run.last_reply_us - run.first_mail_us) / 1e6;

	samples_sort(&run.reply);
	(void)printf("{\"accepted\": %ld, \"refused\": %ld, "
	             "\"exhausted\": %ld, \"unfinished\": %ld, "
	             "\"retried\": %ld, \"ambiguous\": %ld, "
	             "\"connects\": %ld, \"dropped\": %ld, "
	             "\"seconds\": %.3f, \"rate\": %.1f, "
	             "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, "
	             "\"first_mail_us\": %lld, \"last_reply_us\": %lld, "
	             "\"content_bytes\": %zu, \"cpu_s\": %.3f, "
	             "\"last_refusal\": \"",
	             run.accepted, run.refused, run.exhausted, unfinished(),
	             run.retried, run.ambiguous, run.connects, run.dropped,
	             seconds, seconds > 0 ? (double)run.accepted / seconds : 0,
	             samples_rank_ms(&run.reply, 0.5),
	             samples_rank_ms(&run.reply, 0.99),
	             samples_rank_ms(&run.reply, 1),
	             (long long)run.first_mail_us, (long long)run.last_reply_us,
	             sizeof header_fixed - 1 + run.body_len, cpu_seconds());
	for (const char *p = run.last_refusal; *p != '\0'; p++) {
		if (*p != '"' && *p != '\\' && (uint8_t)*p >= ' ') {
			(void)putchar(*p);
		}
	}
	(void)printf("\"}\n");
}

static const char usage[] =
	"usage: gen --to 127.x.y.z:PORT [--connections N] [--per-connection M]\n"
	"  [--messages N | --seconds S] [--rate PER_SECOND] [--size BYTES]\n"
	"  [--domains N] [--from ADDRESS] [--id-prefix TEXT] [--source-ips N]\n"
	"  [--tls [--ca-file F]] [--ahead | --lock-step] [--attempts N]\n"
	"  [--alternative] [--timeout S] [--ledger FILE]\n"
	"--ahead sends the next envelope together with a message's last dot.\n"
	"--alternative: half of each is plain text, half HTML.\n";

static const char *ca_file;
static bool tls;

static const struct setting settings[] = {
	{ "--to", .endpoint = &opt.to },
	{ "--connections", .number = &opt.connections, .min = 1, .max = 15000 },
	{ "--per-connection", .number = &opt.per_connection, .min = 1,
	  .max = 1000000 },
	{ "--messages", .number = &opt.messages, .min = 1, .max = 100000000 },
	{ "--seconds", .number = &opt.seconds, .min = 1, .max = 86400 },
	{ "--rate", .number = &opt.rate, .min = 1, .max = 1000000 },
	{ "--size", .number = &opt.size, .min = 1, .max = 64 * 1024 * 1024 },
	{ "--domains", .number = &opt.domains, .min = 1, .max = 60000 },
	{ "--source-ips", .number = &opt.source_ips, .min = 1, .max = 60000 },
	{ "--attempts", .number = &opt.attempts, .min = 1, .max = 250 },
	{ "--timeout", .number = &opt.timeout, .min = 1, .max = 86400 },
	{ "--from", .text = &opt.from },
	{ "--id-prefix", .text = &opt.prefix },
	{ "--ca-file", .text = &ca_file },
	{ "--ledger", .text = &opt.ledger },
	{ "--tls", .flag = &tls },
	{ "--alternative", .flag = &opt.alternative },
	{ "--ahead", .flag = &opt.ahead },
	{ "--lock-step", .flag = &opt.lock_step },
};

static void
parse_options(int argc, char **argv)
{
	settings_parse(settings, sizeof settings / sizeof *settings, usage,
	               argc, argv);
	if (opt.to.sin_port == 0 || strlen(opt.from) > 64 ||
	    strlen(opt.prefix) > ID_MAX - 20) {
		(void)fputs(usage, stderr);
		exit(2);
	}
	if (tls) {
		opt.tls = tls_context(false, NULL, NULL, ca_file);
	}
}

int
main(int argc, char **argv)
{
	parse_options(argc, argv);
	run.body =
		message_body((size_t)opt.size, opt.alternative, &run.body_len);
	if (opt.ledger != NULL) {
		run.ledger = fopen(opt.ledger, "w");
		if (run.ledger == NULL) {
			die(opt.ledger);
		}
	}
	if (signal(SIGTERM, on_signal) == SIG_ERR ||
	    signal(SIGINT, on_signal) == SIG_ERR) {
		die("signal");
	}
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run.epoll == -1) {
		die("epoll_create1");
	}
	run.start_us = now_us();
	run.client = must(calloc((size_t)opt.connections, sizeof *run.client));
	int64_t ramp = RAMP_MAX_US / opt.connections;

	if (ramp > RAMP_US) {
		ramp = RAMP_US;
	}
	for (long i = 0; i < opt.connections; i++) {
		link_init(&run.client[i].link, run.epoll, WINDOW_BYTES);
		run.client[i].start_us = run.start_us + i * ramp;
		run.client[i].current = -1;
		run.client[i].ahead = -1;
	}
	loop();
	if (run.ledger != NULL && fclose(run.ledger) != 0) {
		die(opt.ledger);
	}
	report();
	return run.refused + run.exhausted + unfinished() == 0 ? 0 : 1;
}
