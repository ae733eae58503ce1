/*
 * Delivery to honest servers: what goes over the wire for what they offer
 * (C10, C35, C37-C47, C52, C60, C61, B02, B31, A3.24).
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_deliver.h"

#define SMALL     "Subject: x\r\n\r\nhello\r\n"
#define SMALL_LEN (sizeof(SMALL) - 1)
#define ALL                                                                    \
	"250-PIPELINING\r\n250-SIZE 10000000\r\n250-8BITMIME\r\n250-DSN\r\n"   \
	"250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n"
#define DATA_ONLY ALL "250 HELP\r\n"
#define LIMITED   "250-PIPELINING\r\n250-LIMITS RCPTMAX=4\r\n250 CHUNKING\r\n"
#define CHUNKED   ALL "250 CHUNKING\r\n"

static char *
unstuff(const struct peer_message *m, size_t *len_r)
{
	char *out = mem_alloc(m->len + 1);
	size_t n = 0;

	for (size_t i = 0; i < m->len; i++) {
		bool start = i == 0 || m->content[i - 1] == '\n';
		if (start && m->content[i] == '.') {
			continue;
		}
		out[n++] = m->content[i];
	}
	*len_r = n;
	return out;
}

static void
check_arrived(unsigned peer, unsigned i, const char *content, size_t len)
{
	const struct peer_message *m = peer_message(peer, i);

	if (m->bdat) {
		assert_int_equal(m->len, len);
		assert_memory_equal(m->content, content, len);
		return;
	}
	size_t n;
	char *plain = unstuff(m, &n);
	assert_int_equal(n, len);
	assert_memory_equal(plain, content, len);
	free(plain);
}

static void
begin(const char *capabilities, peer_script script, const char *delivery)
{
	peer_start(0, capabilities, script);
	world_start(delivery);
}

static void
end(void)
{
	world_stop();
	for (unsigned i = 0; i < PEERS; i++) {
		peer_stop(i);
	}
}

/* A test that failed half-way must not spoil the next. */
static int
tear_down(void **state)
{
	(void)state;
	end();
	return 0;
}

static unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = strstr(text, what); p != NULL;
	     p = strstr(p + 1, what)) {
		n++;
	}
	return n;
}

static unsigned
count_sent(unsigned peer, const char *what)
{
	char *t = peer_transcript(peer);
	unsigned n = count(t, what);

	free(t);
	return n;
}

/* ---- capabilities decide the form ----------------------------------- */

static void
test_lock_step(void **state)
{
	(void)state;
	begin("", NULL, "");
	struct world_job *job = world_deliver("r0");
	assert_string_equal(job->results[0].host, "127.0.0.1");
	assert_int_equal(job->results[0].peer.port, PEER_PORT);
	assert_true(job->results[0].local.port != 0);
	assert_true(job->results[0].relayed_without_dsn);
	assert_true(job->results[0].attempted);
	assert_false(job->tls.active);
	world_expect(job, OUTCOME_DELIVERED, 250, "2.0.0");
	check_arrived(0, 0, SMALL, SMALL_LEN);
	assert_string_equal(peer_message(0, 0)->sender, "<a@example.com>");
	assert_string_equal(peer_message(0, 0)->rcpts, "<r0@partner.test>");
	/* C35: nothing without the reply to what was before. Content and its
	 * dot come in one read, so count where only commands are. */
	assert_int_equal(peer_burst(0), 4);
	end();
}

static void
test_pipelining(void **state)
{
	struct envelope *envs[30];
	struct world_job *jobs[30];

	(void)state;
	begin(DATA_ONLY, NULL, "");
	for (size_t i = 0; i < 30; i++) {
		envs[i] = world_envelope("r0", 1, SMALL, SMALL_LEN);
	}
	world_send_all(envs, jobs, 30);
	for (size_t i = 0; i < 30; i++) {
		world_wait(jobs[i]);
		assert_int_equal(jobs[i]->results[0].action, OUTCOME_DELIVERED);
		world_job_free(&jobs[i]);
	}
	assert_int_equal(peer_messages(0), 30);
	/* Content, dot, and the next envelope in one write: 4 lines of content
	 * with the dot, then MAIL, RCPT, DATA. */
	print_message("burst %u\n", peer_burst(0));
	assert_true(peer_burst(0) >= 7);
	assert_int_equal(peer_connections(0), 1);
	end();
}

static void
test_chunking(void **state)
{
	struct envelope *envs[30];
	struct world_job *jobs[30];

	(void)state;
	begin(CHUNKED, NULL, "");
	for (size_t i = 0; i < 30; i++) {
		envs[i] = world_envelope("r0", 1, SMALL, SMALL_LEN);
	}
	world_send_all(envs, jobs, 30);
	for (size_t i = 0; i < 30; i++) {
		world_wait(jobs[i]);
		assert_int_equal(jobs[i]->results[0].action, OUTCOME_DELIVERED);
		world_job_free(&jobs[i]);
	}
	assert_int_equal(peer_messages(0), 30);
	for (unsigned i = 0; i < 30; i++) {
		assert_true(peer_message(0, i)->bdat);
		check_arrived(0, i, SMALL, SMALL_LEN);
	}
	assert_true(peer_burst(0) >= 12); /* several messages in one write */
	assert_int_equal(count_sent(0, "DATA\n"), 0);
	end();
}

static const char *
refuse_ehlo(struct peer *p, const char *line)
{
	(void)p;
	return strncmp(line, "EHLO", 4) == 0 ? "502 5.5.1 what?\r\n" : NULL;
}

static void
test_helo(void **state) /* C38 */
{
	(void)state;
	begin(CHUNKED, refuse_ehlo, "");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	assert_int_equal(count_sent(0, "HELO gw1.example.net\n"), 1);
	assert_string_equal(peer_message(0, 0)->sender, "<a@example.com>");
	end();
}

/* ---- content -------------------------------------------------------- */

/* B02, C10: what must be doubled, what must not. */
static const char *const dotted[] = {
	".",
	".\r\n",
	"..\r\n",
	".x\r\n..y\r\n...\r\n",
	"a\r\n.\r\nb\r\n",
	"a\r\n.\r\nMAIL FROM:<x@y>\r\nDATA\r\n.\r\n",
	"a.\r\nb.c\r\n",
	"no line end",
	"",
	"\r\n",
	"\r\n.",
};

static void
run_dotted(const char *capabilities)
{
	begin(capabilities, NULL, "");
	for (unsigned i = 0; i < sizeof(dotted) / sizeof(dotted[0]); i++) {
		size_t len = strlen(dotted[i]);
		struct world_job *job =
			world_send(world_envelope("r0", 1, dotted[i], len));
		char expected[100];

		print_message("%u\n", i);
		world_wait(job);
		world_expect(job, OUTCOME_DELIVERED, 250, NULL);
		memcpy(expected, dotted[i], len + 1);
		bool open = len > 0 && (len < 2 || strcmp(expected + len - 2,
		                                          "\r\n") != 0);
		if (open && !peer_message(0, i)->bdat) {
			memcpy(expected + len, "\r\n", 3);
		}
		check_arrived(0, i, expected, strlen(expected));
	}
	end();
}

static void
test_dots_data(void **state)
{
	(void)state;
	run_dotted(DATA_ONLY);
}

static void
test_dots_bdat(void **state)
{
	(void)state;
	run_dotted(CHUNKED);
}

/* Lines of many lengths, so that dots and line ends meet every border. */
static char *
make_long(size_t len)
{
	char *s = mem_alloc(len + 1);
	size_t at = 0;
	size_t line = 0;

	while (at + 80 < len) {
		size_t n = line * 7 % 61;
		memset(s + at, line % 3 == 0 ? '.' : 'x', n + 1);
		at += n + 1;
		memcpy(s + at, "\r\n", 2);
		at += 2;
		line++;
	}
	while (at < len - 2) {
		s[at++] = '.';
	}
	memcpy(s + at, "\r\n", 2);
	return s;
}

static void
run_long(const char *capabilities, size_t len, bool cold)
{
	char *content = make_long(len);

	begin(capabilities, NULL, "");
	struct envelope *env = world_envelope("r0", 1, content, len);
	if (cold) {
		world_make_cold(env);
	}
	struct world_job *job = world_send(env);
	world_wait(job);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	check_arrived(0, 0, content, len);
	/* The same connection goes on. */
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	assert_int_equal(peer_connections(0), 1);
	end();
	free(content);
}

static void
test_long(void **state)
{
	(void)state;
	run_long(DATA_ONLY, 1500000, false);
	run_long(CHUNKED, 1500000, false);
	run_long("250 SIZE\r\n", 300000, false);
}

/* Read back from the store: whole when short, piece by piece when long. */
static void
test_cold(void **state)
{
	(void)state;
	run_long(DATA_ONLY, 3000, true);
	run_long(CHUNKED, 3000, true);
	run_long(DATA_ONLY, 1500000, true);
	run_long(CHUNKED, 1500000, true);
	run_long("250 SIZE\r\n", 600000, true);
}

#define EIGHT_BIT                                                              \
	"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "        \
	"charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc"   \
	"sse\r\n"

static void
test_8bit(void **state) /* C47, B31 */
{
	size_t len = sizeof(EIGHT_BIT) - 1;

	(void)state;
	begin(DATA_ONLY, NULL, "");
	struct world_job *job =
		world_send(world_envelope("r0", 1, EIGHT_BIT, len));
	world_wait(job);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	check_arrived(0, 0, EIGHT_BIT, len);
	assert_non_null(strstr(peer_message(0, 0)->sender, "BODY=8BITMIME"));
	end();

	begin("250-PIPELINING\r\n250 CHUNKING\r\n", NULL, "");
	struct envelope *cold = world_envelope("r0", 1, EIGHT_BIT, len);
	world_make_cold(cold);
	struct envelope *envs[2] = { world_envelope("r0", 1, EIGHT_BIT, len),
		                     cold };
	struct world_job *jobs[2];
	world_send_all(envs, jobs, 2);
	for (unsigned i = 0; i < 2; i++) {
		world_wait(jobs[i]);
		world_expect(jobs[i], OUTCOME_DELIVERED, 250, NULL);
		const struct peer_message *m = peer_message(0, i);
		assert_null(memmem(m->content, m->len, "\xc3", 1));
		assert_non_null(memmem(m->content, m->len, "Gr=C3=BCsse", 11));
		assert_null(strstr(m->sender, "BODY="));
	}
	end();
}

static void
test_8bit_impossible(void **state) /* B31: signed, 5.6.3 */
{
	static const char text[] =
		"Subject: x\r\nMIME-Version: 1.0\r\n"
		"Content-Type: multipart/signed; boundary=b; micalg=x; "
		"protocol=\"application/pgp-signature\"\r\n\r\n--b\r\n"
		"Content-Type: text/plain\r\n\r\nGr\xc3\xbcsse\r\n--b\r\n"
		"Content-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n";

	(void)state;
	begin("250 PIPELINING\r\n", NULL, "");
	struct world_job *job =
		world_send(world_envelope("r0", 2, text, sizeof(text) - 1));
	world_wait(job);
	assert_int_equal(job->results[1].action, OUTCOME_BOUNCE);
	world_expect(job, OUTCOME_BOUNCE, 554, "5.6.3");
	assert_int_equal(peer_messages(0), 0);
	end();
}

static void
test_smtputf8(void **state) /* C60 */
{
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		begin(round == 0 ? DATA_ONLY : "250 8BITMIME\r\n", NULL, "");
		struct envelope *env =
			world_envelope("r0", 2, SMALL, SMALL_LEN);
		env->flags |= ENVELOPE_SMTPUTF8;
		env->recipients[0].address = "\xc3\xa9@partner.test";
		struct world_job *job = world_send(env);
		world_wait(job);
		assert_int_equal(job->results[1].action, OUTCOME_DELIVERED);
		const struct peer_message *m = peer_message(0, 0);
		if (round == 0) {
			assert_non_null(strstr(m->sender, " SMTPUTF8"));
			world_expect(job, OUTCOME_DELIVERED, 250, NULL);
		} else {
			assert_string_equal(m->rcpts, "<r1@partner.test>");
			world_expect(job, OUTCOME_BOUNCE, 553, "5.6.7");
		}
		end();
	}
}

static void
test_size(void **state) /* C42 */
{
	(void)state;
	begin("250-PIPELINING\r\n250 SIZE 20\r\n", NULL, "");
	world_expect(world_deliver("r0"), OUTCOME_BOUNCE, 552, "5.3.4");
	assert_int_equal(count_sent(0, "MAIL"), 0);
	end();

	begin("250 SIZE 21\r\n", NULL, "");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	assert_string_equal(peer_message(0, 0)->sender,
	                    "<a@example.com> SIZE=21");
	end();
}

static void
test_dsn(void **state) /* C52 */
{
	(void)state;
	begin(DATA_ONLY, NULL, "");
	struct envelope *env = world_envelope("r0", 2, SMALL, SMALL_LEN);
	env->flags |= ENVELOPE_RET_HDRS;
	env->envid = "QQ+2B1";
	env->recipients[0].notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
	env->recipients[0].orcpt = "rfc822;x+40y";
	env->recipients[1].notify = NOTIFY_NEVER;
	struct world_job *job = world_send(env);
	world_wait(job);
	assert_false(job->results[0].relayed_without_dsn);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	assert_string_equal(peer_message(0, 0)->sender,
	                    "<a@example.com> SIZE=21 RET=HDRS ENVID=QQ+2B1");
	assert_string_equal(
		peer_message(0, 0)->rcpts,
		"<r0@partner.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+40y\n"
		"<r1@partner.test> NOTIFY=NEVER");
	end();
}

/* ---- recipients ----------------------------------------------------- */

static void
test_recipients_per_message(void **state) /* C39, C61 */
{
	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		static const char *const offers[] = {
			LIMITED,
			"250-PIPELINING\r\n250 SIZE\r\n",
			"250 SIZE\r\n",
		};
		unsigned max = round == 0 ? 4 : 5;

		begin(offers[round], NULL, "recipients_per_message = 5;");
		struct world_job *job =
			world_send(world_envelope("r0", 12, SMALL, SMALL_LEN));
		world_wait(job);
		for (unsigned i = 0; i < 12; i++) {
			assert_int_equal(job->results[i].position, i);
			assert_int_equal(job->results[i].action,
			                 OUTCOME_DELIVERED);
		}
		world_job_free(&job);
		assert_int_equal(peer_messages(0), 3);
		assert_int_equal(count(peer_message(0, 0)->rcpts, "<"), max);
		assert_int_equal(count_sent(0, "RCPT"), 12);
		end();
	}
}

static const char *
two_a_time(struct peer *p, const char *line)
{
	static _Thread_local unsigned n;

	(void)p;
	if (strncmp(line, "MAIL", 4) == 0) {
		n = 0;
	}
	if (strncmp(line, "RCPT", 4) == 0 && ++n > 2) {
		return "452 4.5.3 too many recipients\r\n";
	}
	return NULL;
}

static void
test_too_many_recipients(void **state) /* RFC 5321 4.5.3.1.10 */
{
	static const char *const offers[] = { DATA_ONLY, CHUNKED,
		                              "250 SIZE\r\n" };

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		begin(offers[round], two_a_time, "");
		struct world_job *job =
			world_send(world_envelope("r0", 7, SMALL, SMALL_LEN));
		world_wait(job);
		for (unsigned i = 0; i < 7; i++) {
			assert_int_equal(job->results[i].action,
			                 OUTCOME_DELIVERED);
		}
		world_job_free(&job);
		assert_int_equal(peer_messages(0), 4);
		end();
	}
}

static const char *
three_fates(struct peer *p, const char *line)
{
	(void)p;
	if (strncmp(line, "RCPT TO:<r0@", 12) == 0) {
		return "450 4.2.1 later\r\n";
	}
	if (strncmp(line, "RCPT TO:<r1@", 12) == 0) {
		return "550 5.1.1 never\r\n";
	}
	return NULL;
}

static void
test_three_fates(void **state) /* A3.24 */
{
	static const char *const offers[] = { DATA_ONLY, CHUNKED,
		                              "250 SIZE\r\n" };

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		begin(offers[round], three_fates, "");
		struct world_job *job =
			world_send(world_envelope("r0", 3, SMALL, SMALL_LEN));
		world_wait(job);
		assert_int_equal(job->results[0].action, OUTCOME_RETRY);
		assert_string_equal(job->results[0].status.enhanced, "4.2.1");
		assert_int_equal(job->results[1].action, OUTCOME_BOUNCE);
		assert_string_equal(job->results[1].status.text, "never");
		assert_int_equal(job->results[2].action, OUTCOME_DELIVERED);
		world_job_free(&job);
		assert_int_equal(peer_messages(0), 1);
		assert_string_equal(peer_message(0, 0)->rcpts,
		                    "<r2@partner.test>");
		end();
	}
}

static const char *
refuse_all(struct peer *p, const char *line)
{
	(void)p;
	if (strncmp(line, "RCPT TO:<r0@bad", 15) == 0) {
		return "550 5.1.1 never\r\n";
	}
	/* C45: a server may take DATA although nobody was accepted. */
	return strcmp(line, "DATA") == 0 ? "354 go\r\n" : NULL;
}

static void
test_nobody_accepted(void **state) /* C45 */
{
	static const char *const offers[] = { DATA_ONLY, CHUNKED,
		                              "250 SIZE\r\n" };

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		begin(offers[round], refuse_all,
		      "connections_per_destination = 1;");
		struct envelope *envs[3];
		struct world_job *jobs[3];
		for (size_t i = 0; i < 3; i++) {
			envs[i] = world_envelope("r0", 1, SMALL, SMALL_LEN);
		}
		envs[1]->recipients[0].address = "r0@bad.test";
		world_send_all(envs, jobs, 3);
		world_wait(jobs[0]);
		world_wait(jobs[1]);
		world_wait(jobs[2]);
		world_expect(jobs[1], OUTCOME_BOUNCE, 550, "5.1.1");
		world_expect(jobs[0], OUTCOME_DELIVERED, 250, NULL);
		world_expect(jobs[2], OUTCOME_DELIVERED, 250, NULL);
		assert_int_equal(peer_messages(0), 2);
		assert_int_equal(peer_connections(0), 1);
		end();
	}
}

/* ---- connections ---------------------------------------------------- */

static void
test_messages_per_connection(void **state)
{
	(void)state;
	begin(CHUNKED, NULL,
	      "messages_per_connection = 2; connections_per_destination = 1;");
	struct envelope *envs[5];
	struct world_job *jobs[5];
	for (size_t i = 0; i < 5; i++) {
		envs[i] = world_envelope("r0", 1, SMALL, SMALL_LEN);
	}
	world_send_all(envs, jobs, 5);
	for (size_t i = 0; i < 5; i++) {
		world_wait(jobs[i]);
		world_expect(jobs[i], OUTCOME_DELIVERED, 250, NULL);
	}
	assert_int_equal(peer_connections(0), 3);
	assert_true(count_sent(0, "QUIT") >= 2); /* C37 */
	end();

	begin("250-PIPELINING\r\n250 LIMITS MAILMAX=1\r\n", NULL, ""); /* C61 */
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	assert_int_equal(peer_connections(0), 2);
	end();
}

static void
test_idle_quit(void **state) /* C37 */
{
	struct deliver_counters c;

	(void)state;
	begin(CHUNKED, NULL, "idle_timeout = \"1s\";");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	world_counters(&c);
	assert_int_equal(c.connections, 1);
	assert_int_equal(c.destinations, 1);
	assert_int_equal(c.attempts, 1);
	for (unsigned i = 0; i < 30 && c.connections > 0; i++) {
		usleep(100000);
		world_counters(&c);
	}
	assert_int_equal(c.connections, 0);
	assert_int_equal(count_sent(0, "QUIT"), 1);
	end();
}

static const char *
slow(struct peer *p, const char *line)
{
	(void)p;
	if (strcmp(line, ".") == 0) {
		usleep(40000);
	}
	return NULL;
}

static void
test_growth(void **state)
{
	struct envelope *envs[60];
	struct world_job *jobs[60];

	(void)state;
	begin("250 SIZE\r\n", slow, "connections_per_destination = 6;");
	for (size_t i = 0; i < 60; i++) {
		envs[i] = world_envelope("r0", 1, SMALL, SMALL_LEN);
	}
	world_send_all(envs, jobs, 60);
	for (size_t i = 0; i < 60; i++) {
		world_wait(jobs[i]);
		world_expect(jobs[i], OUTCOME_DELIVERED, 250, NULL);
	}
	assert_int_equal(peer_connections(0), 6);
	end();
}

/* ---- TLS ------------------------------------------------------------ */

static const char *
more_before_tls(struct peer *p, const char *line)
{
	/* B07: offered before TLS only. */
	if (strncmp(line, "EHLO", 4) == 0) {
		return p->tls ? "250-peer.test\r\n250 PIPELINING\r\n"
		              : "250-peer.test\r\n250-STARTTLS\r\n"
		                "250-8BITMIME\r\n250 SIZE 5\r\n";
	}
	return NULL;
}

static void
test_starttls(void **state) /* C49, B07 */
{
	(void)state;
	begin("", more_before_tls, "");
	struct world_job *job = world_deliver("r0");
	assert_true(job->tls.active);
	assert_string_equal(job->tls.version, "TLSv1.3");
	assert_true(job->tls.peer_certificate);
	assert_false(job->tls.verified); /* recorded, not enforced */
	assert_string_not_equal(job->tls.verify_text, "");
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	assert_true(peer_message(0, 0)->tls);
	assert_string_equal(peer_message(0, 0)->sender, "<a@example.com>");
	assert_int_equal(count_sent(0, "EHLO"), 2);
	end();
}

static void
test_tls_resumed(void **state)
{
	(void)state;
	begin("", more_before_tls, "messages_per_connection = 1;");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	struct world_job *job = world_deliver("r0");
	assert_true(job->tls.active);
	assert_true(job->tls.resumed);
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	assert_int_equal(peer_connections(0), 2);
	end();
}

/* ---- next hops ------------------------------------------------------ */

static void
test_by_mx(void **state) /* C29, C63 */
{
	(void)state;
	begin(CHUNKED, NULL, "");
	struct world_job *job = world_deliver("partner.test");
	assert_string_equal(job->results[0].host, "mx.partner.test");
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);
	/* The better host is dead: the other one is tried at once. */
	world_expect(world_deliver("two.test"), OUTCOME_DELIVERED, 250, NULL);
	world_expect(world_deliver("null.test"), OUTCOME_BOUNCE, 556, "5.1.10");
	end();
}

static unsigned
read_maildir(const char *sub, char *content, size_t size)
{
	char path[1200];
	unsigned n = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", world_maildir(), sub);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
		if (d->d_name[0] == '.') {
			continue;
		}
		n++;
		(void)snprintf(path, sizeof(path), "%s/%s/%s", world_maildir(),
		               sub, d->d_name);
		char *text = common_conf_read(path);
		(void)snprintf(content, size, "%s", text);
		free(text);
	}
	closedir(dir);
	return n;
}

static void
test_maildir(void **state)
{
	char content[1000];

	(void)state;
	begin("", NULL, "");
	struct envelope *envs[2];
	struct world_job *jobs[2];
	envs[0] = world_envelope("boxes", 3, SMALL, SMALL_LEN);
	envs[1] = world_envelope("boxes", 1, SMALL, SMALL_LEN);
	for (uint32_t i = 0; i < 3; i++) { /* B21 */
		envs[0]->recipients[i].address = "../../etc/x@partner.test";
	}
	envs[1]->recipients[0].address = "../../etc/x@partner.test";
	world_make_cold(envs[1]);
	world_send_all(envs, jobs, 2);
	world_wait(jobs[0]);
	world_wait(jobs[1]);
	assert_int_equal(jobs[0]->results[2].action, OUTCOME_DELIVERED);
	assert_string_equal(jobs[0]->results[2].host, "boxes");
	world_expect(jobs[0], OUTCOME_DELIVERED, 250, "2.0.0");
	world_expect(jobs[1], OUTCOME_DELIVERED, 250, "2.0.0");
	assert_int_equal(read_maildir("new", content, sizeof(content)), 4);
	assert_string_equal(content, "Return-Path: <a@example.com>\n"
	                             "Delivered-To: ../../etc/x@partner.test\n"
	                             "Subject: x\n\nhello\n");
	assert_int_equal(read_maildir("tmp", content, sizeof(content)), 0);
	end();
}

static void
test_drain(void **state)
{
	(void)state;
	begin(CHUNKED, NULL, "");
	world_expect(world_deliver("r0"), OUTCOME_DELIVERED, 250, NULL);
	world_drain();
	struct world_job *job = world_deliver("r0");
	assert_false(job->results[0].attempted);
	world_expect(job, OUTCOME_RETRY, 451, "4.3.2");
	for (unsigned i = 0; i < 50 && count_sent(0, "QUIT") == 0; i++) {
		usleep(20000);
	}
	assert_int_equal(count_sent(0, "QUIT"), 1);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_lock_step, tear_down),
		cmocka_unit_test_teardown(test_pipelining, tear_down),
		cmocka_unit_test_teardown(test_chunking, tear_down),
		cmocka_unit_test_teardown(test_helo, tear_down),
		cmocka_unit_test_teardown(test_dots_data, tear_down),
		cmocka_unit_test_teardown(test_dots_bdat, tear_down),
		cmocka_unit_test_teardown(test_long, tear_down),
		cmocka_unit_test_teardown(test_cold, tear_down),
		cmocka_unit_test_teardown(test_8bit, tear_down),
		cmocka_unit_test_teardown(test_8bit_impossible, tear_down),
		cmocka_unit_test_teardown(test_smtputf8, tear_down),
		cmocka_unit_test_teardown(test_size, tear_down),
		cmocka_unit_test_teardown(test_dsn, tear_down),
		cmocka_unit_test_teardown(test_recipients_per_message,
		                          tear_down),
		cmocka_unit_test_teardown(test_too_many_recipients, tear_down),
		cmocka_unit_test_teardown(test_three_fates, tear_down),
		cmocka_unit_test_teardown(test_nobody_accepted, tear_down),
		cmocka_unit_test_teardown(test_messages_per_connection,
		                          tear_down),
		cmocka_unit_test_teardown(test_idle_quit, tear_down),
		cmocka_unit_test_teardown(test_growth, tear_down),
		cmocka_unit_test_teardown(test_starttls, tear_down),
		cmocka_unit_test_teardown(test_tls_resumed, tear_down),
		cmocka_unit_test_teardown(test_by_mx, tear_down),
		cmocka_unit_test_teardown(test_maildir, tear_down),
		cmocka_unit_test_teardown(test_drain, tear_down),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
