/*
 * A whole delivery: the input is what servers say, with events in between.
 * Whatever it is, every recipient gets one result, DELIVERED only when a
 * server said 2yz behind the end of a content; the client speaks in lines,
 * sends content only when asked to, and nothing is left at the end.
 *
 * First two octets: what is sent and where to. Then octets that the server
 * says on the current connection, but 0xfe and a letter:
 *   s  rounds until nothing moves     t T U  1, 301, 601 s pass
 *   c e  close, end our side          h      our side of a TLS handshake
 *   n  the next connection            d D    do not read, read again
 *   q w o  connections are refused, hang, are accepted from now on
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/envelope.h"
#include "tests/fuzz/common_script.h"
#include "tests/unit/common_model_away.h"

#define LINE_LEN   2048
#define SAID_MAX   (4U << 20) /* of a client, all its content included */
#define LAST_STEPS 400        /* minutes until everything must have ended */

enum phase {
	PHASE_LINES = 0,
	PHASE_AFTER_DATA, /* content or another command */
	PHASE_CONTENT,
	PHASE_CHUNK,
};

struct watched {     /* what we know of one connection */
	size_t seen; /* octets of the client's */
	enum phase phase;
	uint64_t chunk_left;
	unsigned datas;    /* contents begun behind DATA */
	unsigned contents; /* ended, by dot or chunk */
	/* What the server said. */
	char line[4];
	size_t line_len;
	unsigned asked; /* lines with 3yz */
	unsigned taken; /* lines with 2yz behind the end of a content */
	bool blind;     /* TLS that failed: not for our eyes */
	bool deaf;      /* it did not read once: contents may be unseen */
};

static struct {
	struct watched peers[AWAY_PEERS_MAX];
	unsigned current;
	unsigned jobs;
} run;

/* ---- what the client says ------------------------------------------- */

static bool
starts(const char *s, size_t len, const char *with)
{
	return len >= strlen(with) && memcmp(s, with, strlen(with)) == 0;
}

/* A command line without CRLF. */
static void
take_line(struct watched *w, const char *s, size_t len)
{
	static const char *const verbs[] = { "EHLO ", "HELO ", "MAIL ",
		                             "RCPT ", "DATA",  "BDAT ",
		                             "RSET",  "QUIT",  "STARTTLS",
		                             "." };
	bool known = false;

	CHECK(len <= LINE_LEN);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		known = known || starts(s, len, verbs[i]);
	}
	CHECK(known);
	if (s[0] == '.') {
		CHECK(len == 1 && w->phase == PHASE_AFTER_DATA);
		w->datas++; /* of nothing, for nobody (C45) */
	}
	w->phase = PHASE_LINES;
	if (starts(s, len, "DATA")) {
		w->phase = PHASE_AFTER_DATA;
	} else if (starts(s, len, "BDAT ")) {
		w->chunk_left = strtoull(s + 5, NULL, 10);
		w->phase = PHASE_CHUNK;
	}
}

/* Octets of a content that are here; the end of it is noted. */
static size_t
take_content(struct watched *w, const char *s, size_t len)
{
	const char *dot;

	if (w->phase == PHASE_CHUNK) {
		size_t n = len < w->chunk_left ? len : (size_t)w->chunk_left;

		w->chunk_left -= n;
		if (w->chunk_left == 0) {
			w->contents++;
			w->phase = PHASE_LINES;
		}
		return n;
	}
	dot = memmem(s, len, "\r\n.\r\n", 5);
	if (dot == NULL) {
		return len > 4 ? len - 4 : 0;
	}
	w->contents++;
	w->phase = PHASE_LINES;
	return (size_t)(dot - s) + 5;
}

static void
look(unsigned peer)
{
	struct watched *w = &run.peers[peer];
	size_t len;
	const char *s = away_peer_input(peer, &len);

	CHECK(len <= SAID_MAX);
	while (w->seen < len && !w->blind) {
		const char *at = s + w->seen;
		size_t left = len - w->seen;
		const char *crlf;
		size_t n;

		if (w->phase == PHASE_AFTER_DATA &&
		    starts(at, left, away_content_start)) {
			w->datas++;
			w->phase = PHASE_CONTENT;
		}
		if (w->phase >= PHASE_CONTENT) {
			n = take_content(w, at, left);
			w->seen += n;
			if (n == 0) {
				break;
			}
			continue;
		}
		crlf = memmem(at, left, "\r\n", 2);
		if (crlf == NULL) {
			break;
		}
		n = (size_t)(crlf - at);
		CHECK(memchr(at, '\n', n) == NULL); /* C40 */
		take_line(w, at, n);
		w->seen += n + 2;
	}
	CHECK(w->datas <= w->asked);
}

static void
settle(void)
{
	away_settle();
	for (unsigned i = 0; i < away_peers(); i++) {
		look(i);
	}
}

/* ---- what the server says ------------------------------------------- */

static void
note_octet(struct watched *w, char c)
{
	if (c != '\n') {
		if (w->line_len < sizeof(w->line)) {
			w->line[w->line_len] = c;
		}
		w->line_len++;
		return;
	}
	if (w->line_len >= 3 && w->line[0] == '3') {
		w->asked++;
	}
	if (w->line_len >= 3 && w->line[0] == '2' &&
	    (w->contents > 0 || w->deaf)) {
		w->taken++;
	}
	w->line_len = 0;
}

static void
say(void)
{
	struct buf *b = &script_pending;

	if (buf_len(b) == 0 || run.current >= away_peers()) {
		buf_reset(b, SCRIPT_MAX);
		return;
	}
	settle(); /* what it asked before is known now */
	for (size_t i = 0; i < buf_len(b); i++) {
		note_octet(&run.peers[run.current], buf_ptr(b)[i]);
	}
	away_peer_write(run.current, buf_ptr(b), buf_len(b));
	buf_reset(b, SCRIPT_MAX);
}

static void
handshake(void)
{
	if (run.current < away_peers() && away_peer_open(run.current) &&
	    !away_peer_start_tls(run.current)) {
		run.peers[run.current].blind = true;
		away_peer_close(run.current);
	}
}

static void
pass(int64_t ms)
{
	away_advance(ms);
	settle();
}

static void
event(uint8_t what)
{
	bool there;

	say();
	settle();
	there = run.current < away_peers();
	switch (what) {
	case 't':
		pass(1000);
		break;
	case 'T':
		pass(301000);
		break;
	case 'U':
		pass(601000);
		break;
	case 'c':
		if (there) {
			away_peer_close(run.current);
		}
		break;
	case 'e':
		if (there) {
			away_peer_half_close(run.current);
		}
		break;
	case 'h':
		handshake();
		break;
	case 'n':
		run.current =
			run.current + 1 < away_peers() ? run.current + 1 : 0;
		break;
	case 'd':
	case 'D':
		if (there) {
			away_peer_read(run.current, what == 'D');
			run.peers[run.current].deaf = true;
		}
		break;
	case 'q':
		away_set_connect(AWAY_REFUSE);
		break;
	case 'w':
		away_set_connect(AWAY_HANG);
		break;
	case 'o':
		away_set_connect(AWAY_ACCEPT);
		break;
	default: /* 's', and whatever else */
		break;
	}
	settle();
}

/* ---- the frame ------------------------------------------------------ */

static void
begin(uint8_t what, uint8_t where)
{
	static const char *const hops[] = { "r0", "both", "partner.test",
		                            "null.test" };
	unsigned flags = ((where & 4) != 0 ? ENVELOPE_8BITMIME : 0U) |
	                 ((where & 8) != 0 ? ENVELOPE_SMTPUTF8 : 0U) |
	                 ((where & 16) != 0 ? ENVELOPE_RET_HDRS : 0U);

	memset(run.peers, 0, sizeof(run.peers));
	run.current = 0;
	buf_reset(&script_pending, SCRIPT_MAX);
	run.jobs = 1 + what % 3;
	away_begin();
	if ((where & 32) != 0) {
		away_set_connect(AWAY_REFUSE);
	}
	for (unsigned i = 0; i < run.jobs; i++) {
		(void)away_send(hops[where & 3], 1 + (what / 3 + i) % 3,
		                (enum away_content)(what / 9 % AWAY_CONTENTS),
		                flags);
	}
	settle();
}

static void
check_results(void)
{
	unsigned delivered = 0;
	unsigned taken = 0;

	for (unsigned i = 0; i < away_peers(); i++) {
		taken += run.peers[i].taken;
	}
	for (unsigned i = 0; i < run.jobs; i++) {
		const struct away_job *j = away_job(i);
		bool any = false;

		CHECK(j->done);
		for (uint32_t k = 0; k < j->n; k++) {
			const struct deliver_result *r = &j->results[k];

			CHECK(r->position == k);
			CHECK(r->action == OUTCOME_DELIVERED ||
			      r->action == OUTCOME_RETRY ||
			      r->action == OUTCOME_BOUNCE);
			CHECK(r->action != OUTCOME_DELIVERED ||
			      (r->status.code >= 200 && r->status.code < 300));
			any = any || r->action == OUTCOME_DELIVERED;
		}
		delivered += any ? 1 : 0;
	}
	CHECK(delivered <= taken);
}

/* The peers are gone and stay away: everything must come to an end. */
static void
finish(void)
{
	say();
	settle();
	away_set_connect(AWAY_REFUSE);
	for (unsigned i = 0; i < away_peers(); i++) {
		if (i % 2 == 0) {
			away_peer_close(i); /* the others only fall silent */
		}
	}
	settle();
	for (unsigned i = 0; i < LAST_STEPS && !away_all_done(); i++) {
		away_jump(60000);
	}
	settle();
	check_results();
	away_end();
}

void
script_start(void)
{
	away_start("");
}

void
script_stop(void)
{
	away_stop();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t what;

	if (size < 2 || size > SCRIPT_MAX) {
		return 0;
	}
	begin(data[0], data[1]);
	data += 2;
	size -= 2;
	while (script_next(&data, &size, &what)) {
		event(what);
	}
	finish();
	return 0;
}
