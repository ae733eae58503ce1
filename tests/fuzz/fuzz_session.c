/*
 * A whole server session: the input is what a client sends, with events in
 * between. Whatever it is, the answers are well-formed and have a cause, a
 * 250 for a message means that the queue was given it, what the queue is
 * given holds the rules, memory is bounded, and nothing is left at the end.
 *
 * First octet: who the client is. Then octets to send, but 0xfe and a letter:
 *   s  what came so far stands in one read    t T D  1, 301, 181 s pass
 *   o f F  queue takes, is full, fails        a A  the queue (does not) accept
 *   m M  memory is refused, granted           e  the client ends its side
 *   h  the client's side of a TLS handshake
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/common_script.h"
#include "tests/unit/common_model_stage.h"
#include "tests/unit/common_queue.h"

#define MESSAGE_MAX  4096
#define RCPTS_MAX    4
#define REPLY_OCTETS 512
/* Content in memory, its growth by doubling, what waits for a worker. */
#define MEMORY_MAX ((size_t)640 * 1024)

static const char settings[] =
	"limits = { message_size = \"4K\"; header_size = \"1K\";\n"
	"  recipients = 4; hops = 2; bad_commands = 12; idle_commands = 24;\n"
	"  command_timeout = \"5m\"; data_timeout = \"3m\"; };\n";

static const char queued[] = "250 2.0.0 Ok: queued [";

static struct {
	unsigned lines;  /* the client has ended, in any sense of the word */
	unsigned events; /* that may end the session with a reply */
	unsigned replies;
	unsigned queued;
	unsigned submissions;
	bool raw; /* the server speaks TLS and we do not */
	bool over;
} run;

/* ---- what the server says ------------------------------------------- */

/* One line, CRLF included. */
static void
check_line(const char *line, size_t len)
{
	CHECK(len <= REPLY_OCTETS && len >= 6);
	CHECK(line[len - 2] == '\r');
	CHECK(line[0] >= '2' && line[0] <= '5');
	CHECK(line[1] >= '0' && line[1] <= '5');
	CHECK(line[2] >= '0' && line[2] <= '9');
	CHECK(line[3] == ' ' || line[3] == '-');
	for (size_t i = 4; i < len - 2; i++) {
		CHECK(line[i] >= 0x20 && line[i] < 0x7f);
	}
	if (line[3] == ' ') {
		run.replies++;
	}
	if (len > sizeof(queued) &&
	    memcmp(line, queued, sizeof(queued) - 1) == 0) {
		run.queued++;
	}
}

static void
check_replies(void)
{
	for (;;) {
		size_t len;
		const char *data = stage_output(&len);
		const char *lf = len == 0 ? NULL : memchr(data, '\n', len);

		if (lf == NULL) {
			CHECK(len == 0); /* replies leave whole */
			return;
		}
		check_line(data, (size_t)(lf - data) + 1);
		stage_consume((size_t)(lf - data) + 1);
	}
}

/* ---- what the queue is given ---------------------------------------- */

static void
check_mail(void)
{
	const struct stage_mail *m = stage_mail();
	const char *end = NULL;
	char last = '\0';

	CHECK(m->rcpts_n > 0 && m->rcpts_n <= RCPTS_MAX);
	CHECK(m->len > 12 && memcmp(m->content, "Received: ", 10) == 0);
	CHECK(memcmp(m->content + m->len - 2, "\r\n", 2) == 0);
	for (size_t i = 0; i < m->len; i++) {
		CHECK(m->content[i] != '\0');
		CHECK((m->content[i] == '\n') == (last == '\r'));
		last = m->content[i];
	}
	end = strstr(m->content, "\r\n");
	while (end != NULL && end[2] == '\t') {
		end = strstr(end + 2, "\r\n");
	}
	CHECK(end != NULL);
	CHECK(m->len - (size_t)(end + 2 - m->content) <= MESSAGE_MAX);
	for (uint32_t i = 0; i < m->rcpts_n; i++) {
		CHECK(m->rcpts[i][0] != '\0');
		for (uint32_t k = 0; k < i; k++) {
			CHECK(strcmp(m->rcpts[i], m->rcpts[k]) != 0);
		}
	}
}

static void
check(void)
{
	CHECK(queue_double_taken() <= MEMORY_MAX);
	if (run.raw) {
		size_t len;

		(void)stage_output(&len);
		stage_consume(len);
		return;
	}
	check_replies();
	/* One for each line, the greeting, and a last word; a line that is too
	 * long is answered before it ends. */
	CHECK(run.replies <= 3 + run.lines + run.events);
	CHECK(run.queued == stage_submissions());
	if (stage_submissions() != run.submissions) {
		run.submissions = stage_submissions();
		check_mail();
	}
}

/* ---- what the client does ------------------------------------------- */

static void
send_pending(void)
{
	struct buf *b = &script_pending;

	for (size_t i = 0; i < buf_len(b); i++) {
		run.lines += buf_ptr(b)[i] == '\n' ? 1 : 0;
	}
	if (buf_len(b) > 0) {
		stage_send(buf_ptr(b), buf_len(b));
		buf_consume(b, buf_len(b));
	}
	stage_settle();
	check();
	run.raw = run.raw || stage_in_handshake();
}

static void
pass(int64_t ms)
{
	run.events++;
	stage_advance(ms);
	check();
}

static void
handshake(void)
{
	size_t len;

	if (!stage_in_handshake()) {
		return;
	}
	(void)stage_output(&len);
	if (len > 0 || !stage_start_tls()) {
		run.over = true;
		return;
	}
	run.raw = false;
	stage_settle();
	check();
}

static void
event(uint8_t what)
{
	send_pending();
	switch (what) {
	case 't':
		pass(1000);
		break;
	case 'T':
		pass(301000);
		break;
	case 'D':
		pass(181000);
		break;
	case 'o':
		queue_double_set_result(QUEUE_OK);
		break;
	case 'f':
		queue_double_set_result(QUEUE_FULL);
		break;
	case 'F':
		queue_double_set_result(QUEUE_FAILED);
		break;
	case 'a':
	case 'A':
		queue_double_set_accepting(what == 'A');
		break;
	case 'm':
	case 'M':
		queue_double_set_memory(what == 'M');
		break;
	case 'e':
		stage_half_close();
		stage_settle();
		check();
		run.over = true;
		break;
	case 'h':
		handshake();
		break;
	default: /* 's', and whatever else */
		break;
	}
}

static void
begin(uint8_t who)
{
	static const char *const addresses[] = { "10.1.2.3", "172.20.1.1",
		                                 "203.0.113.9", "2001:db8::1" };

	buf_reset(&script_pending, SCRIPT_MAX);
	run.lines = 0;
	run.events = 0;
	run.replies = 0;
	run.queued = 0;
	run.submissions = 0;
	run.over = false;
	queue_double_reset();
	run.raw = (who & 4) != 0;
	stage_open(addresses[who & 3], run.raw);
	stage_settle();
	check();
}

void
script_start(void)
{
	stage_start(settings);
}

void
script_stop(void)
{
	stage_stop();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t what;

	if (size == 0 || size > SCRIPT_MAX) {
		return 0;
	}
	begin(data[0]);
	data++;
	size--;
	while (!run.over && !stage_closed() &&
	       script_next(&data, &size, &what)) {
		event(what);
	}
	send_pending();
	stage_close();
	return 0;
}
