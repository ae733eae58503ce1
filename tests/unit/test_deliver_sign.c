/*
 * What goes out in front of a content (payload_head.h): signatures over the
 * octets that leave, in every form and by every way they leave (B30, B31,
 * B36), and what becomes of mail that cannot be signed (A3.16). That others
 * find the signatures good: tests/system/test_dkim_out.py.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/buf.h"
#include "base/mem.h"
#include "daemon/deliver/payload_head.h"
#include "mime/header.h"
#include "policy/status.h"
#include "tests/unit/common_conf_load.h"
#include "tests/unit/common_deliver.h"
#include "tests/unit/deliver_scene.h"

#define ONE    "first one"
#define TWO    "second"
#define BOTH   ONE "\n" TWO
#define GONE   "nobody's"
#define HEAD   "From: a@example.com\r\nSubject: x\r\n"
#define PLAIN  "250-SIZE 10000000\r\n250 8BITMIME\r\n"
#define SEVEN  "250-PIPELINING\r\n250 CHUNKING\r\n"
#define A_R    "Authentication-Results: gw1.example.net; spf=pass\r\n"
#define FORGED "Authentication-Results: gw1.example.net; dkim=pass\r\n"
#define OTHER  "Authentication-Results: mx.other.test; dkim=pass\r\n"

static const char *const offers[] = { PLAIN, DATA_ONLY, CHUNKED };

/* ---- what a verifier does with the body ------------------------------ */

/* RFC 6376 section 3.4.4. */
static void
relax(const char *body, size_t len, struct buf *out)
{
	size_t empty = 0;

	for (size_t at = 0; at < len;) {
		const char *lf = memchr(body + at, '\n', len - at);
		size_t end = lf == NULL ? len : (size_t)(lf - body) - 1;
		struct buf line;

		buf_init(&line, len + 1);
		for (size_t i = at; i < end; i++) {
			bool blank = body[i] == ' ' || body[i] == '\t';
			bool last = i + 1 == end;
			bool again = !last && (body[i + 1] == ' ' ||
			                       body[i + 1] == '\t');
			if (!blank) {
				buf_add(&line, body + i, 1);
			} else if (!again && !last) {
				buf_puts(&line, " ");
			}
		}
		if (buf_len(&line) == 0) {
			empty++;
		} else {
			for (; empty > 0; empty--) {
				buf_puts(out, "\r\n");
			}
			buf_add(out, buf_ptr(&line), buf_len(&line));
			buf_puts(out, "\r\n");
		}
		buf_clear(&line);
		at = lf == NULL ? len : (size_t)(lf - body) + 1;
	}
}

static void
hash_body(const char *message, size_t len, char out[64])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	size_t from = len;
	struct buf b;

	(void)header_find_end(message, len, SIZE_MAX, &from);
	buf_init(&b, len + 2);
	relax(message + from, len - from, &b);
	(void)SHA256((const unsigned char *)buf_cstr(&b), buf_len(&b), digest);
	buf_clear(&b);
	(void)EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest));
}

static void
squeeze(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		if (strchr(" \t\r\n", *s) == NULL) {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* The n signatures on top, of those domains and of the body that came, then
 * rest, octet for octet. */
static void
check_signed(const char *message, size_t len, const char *const *tags, size_t n,
             const char *rest, size_t rest_len)
{
	struct header_iter it;
	char bh[64];

	hash_body(message, len, bh);
	header_iter_init(&it, message, len);
	for (size_t i = 0; i < n; i++) {
		struct header_field f;

		assert_true(header_next(&it, &f));
		assert_true(header_is(message, &f, "DKIM-Signature"));
		char *text = mem_strndup(message + f.start, f.end - f.start);
		squeeze(text);
		assert_non_null(strstr(text, tags[i]));
		char *want = mem_printf(";bh=%s;", bh);
		if (strstr(text, want) == NULL) {
			fail_msg("%s: not %s", text, want);
		}
		assert_null(strstr(text, ";l="));
		free(want);
		free(text);
	}
	assert_int_equal(len - it.pos, rest_len);
	assert_memory_equal(message + it.pos, rest, rest_len);
}

static const char *const both_tags[] = { "d=example.com;s=s1;",
	                                 "d=example.org;s=s2;" };

/* As it came to the peer, and as its size was told. */
static void
check_at_peer(unsigned i, size_t signatures, const char *rest, size_t rest_len)
{
	const struct peer_message *m = peer_message(0, i);
	const char *size = strstr(m->sender, " SIZE=");
	size_t len = m->len;
	char *plain = m->bdat ? mem_strndup("", 0) : unstuff(m, &len);
	const char *text = m->bdat ? m->content : plain;

	if (size != NULL) {
		assert_int_equal(strtoull(size + 6, NULL, 10), len);
	}
	check_signed(text, len, both_tags, signatures, rest, rest_len);
	free(plain);
}

static struct world_job *
send_signed(const char *sign, const char *content, size_t len, bool cold)
{
	struct envelope *env = world_envelope("r0", 1, content, len);

	env->recipients[0].sign = sign;
	if (cold) {
		world_make_cold(env);
	}
	struct world_job *job = world_send(env);
	world_wait(job);
	return job;
}

/* ---- ways out --------------------------------------------------------- */

static const char *const contents[] = {
	HEAD "\r\nhello\r\n",
	HEAD "\r\n.\r\n",
	HEAD "\r\n..\r\n.x\r\n\r\n \r\n\r\n",
	HEAD "\r\n.a  b \t\r\n.\r\n..\r\nMAIL FROM:<x@y>\r\n",
	HEAD "\r\n",
	HEAD,
};

static void
test_short(void **state)
{
	size_t n = sizeof(contents) / sizeof(contents[0]);

	(void)state;
	for (size_t o = 0; o < sizeof(offers) / sizeof(offers[0]); o++) {
		begin(offers[o], NULL, "connections_per_destination = 1;");
		for (unsigned i = 0; i < 2 * n; i++) {
			const char *c = contents[i / 2];
			struct world_job *job =
				send_signed(BOTH, c, strlen(c), i % 2 == 1);

			print_message("offer %zu content %u\n", o, i);
			assert_string_equal(job->signed_by,
			                    "example.com/s1,example.org/s2");
			world_expect(job, OUTCOME_DELIVERED, 250, NULL);
			check_at_peer(i, 2, c, strlen(c));
		}
		/* Unsigned mail is what it was. */
		const char *c = contents[0];
		struct world_job *job = send_signed(NULL, c, strlen(c), false);
		assert_string_equal(job->signed_by, "");
		world_expect(job, OUTCOME_DELIVERED, 250, NULL);
		check_at_peer((unsigned)(2 * n), 0, c, strlen(c));
		end();
	}
}

/* Lines of many lengths, with dots where they must be doubled. */
static char *
make_long(const char *header, size_t len)
{
	char *s = mem_alloc(len + 1);
	size_t at = strlen(header);

	memcpy(s, header, at);
	for (size_t line = 0; at + 80 < len; line++) {
		size_t n = line * 7 % 61 + 1;
		memset(s + at, line % 3 == 0 ? '.' : 'x', n);
		at += n;
		memcpy(s + at, "\r\n", 2);
		at += 2;
	}
	while (at < len - 2) {
		s[at++] = '.';
	}
	memcpy(s + at, "\r\n", 2);
	return s;
}

static void
test_long(void **state)
{
	static const size_t lengths[] = { 70000, 300000, 1500000 };

	(void)state;
	for (size_t o = 0; o < sizeof(offers) / sizeof(offers[0]); o++) {
		begin(offers[o], NULL, "connections_per_destination = 1;");
		for (unsigned i = 0; i < 6; i++) {
			size_t len = lengths[i / 2];
			char *c = make_long(HEAD "\r\n", len);
			struct world_job *job =
				send_signed(ONE, c, len, i % 2 == 1);

			print_message("offer %zu length %zu\n", o, len);
			assert_string_equal(job->signed_by, "example.com/s1");
			world_expect(job, OUTCOME_DELIVERED, 250, NULL);
			check_at_peer(i, 1, c, len);
			free(c);
		}
		assert_int_equal(peer_connections(0), 1);
		end();
	}
}

/* A header of that length, its empty line included. */
static char *
make_header(size_t len)
{
	struct buf b;

	buf_init(&b, len + 1);
	buf_puts(&b, HEAD);
	while (buf_len(&b) + 200 < len) {
		buf_addf(&b, "X-Filler: %060zu\r\n", buf_len(&b));
	}
	buf_addf(&b, "X: %0*d\r\n\r\n", (int)(len - buf_len(&b) - 7), 0);
	assert_int_equal(buf_len(&b), len);
	return buf_steal(&b, NULL);
}

/* Its end in every place about the end of a piece that is read from the
 * store. */
static void
test_end_of_header(void **state)
{
	(void)state;
	begin(CHUNKED, NULL, "connections_per_destination = 1;");
	for (unsigned i = 0; i < 10; i++) {
		char *header = make_header(65536 - 3 + i);
		char *c = make_long(header, 300000);

		world_expect(send_signed(ONE, c, 300000, true),
		             OUTCOME_DELIVERED, 250, NULL);
		check_at_peer(i, 1, c, 300000);
		free(c);
		free(header);
	}
	end();
}

/* A header that the end of the message cuts: the way there ends the line. */
static void
test_no_line_end(void **state)
{
	static const char cut[] = "From: a@example.com\r\nSubject: x";
	static const char whole[] = "From: a@example.com\r\nSubject: x\r\n";

	(void)state;
	for (size_t o = 0; o < sizeof(offers) / sizeof(offers[0]); o++) {
		begin(offers[o], NULL, "");
		world_expect(send_signed(ONE, cut, sizeof(cut) - 1, false),
		             OUTCOME_DELIVERED, 250, NULL);
		const struct peer_message *m = peer_message(0, 0);
		size_t len = m->bdat ? sizeof(cut) - 1 : sizeof(whole) - 1;
		assert_true(m->len > len);
		assert_memory_equal(m->content + m->len - len, whole, len);
		assert_memory_equal(m->content, "DKIM-Signature: ", 16);
		end();
	}
}

#define EIGHT_BIT                                                              \
	HEAD "MIME-Version: 1.0\r\nContent-Type: text/plain; "                 \
	     "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"        \
	     "Gr\xc3\xbcsse\r\n"

/* B31: the signature is of what a hop of 7 bits gets. */
static void
test_converted(void **state)
{
	(void)state;
	begin(SEVEN, NULL, "");
	for (unsigned i = 0; i < 2; i++) {
		world_expect(send_signed(BOTH, EIGHT_BIT, sizeof(EIGHT_BIT) - 1,
		                         i == 1),
		             OUTCOME_DELIVERED, 250, NULL);
		const struct peer_message *m = peer_message(0, i);
		const char *rest =
			memmem(m->content, m->len, HEAD, sizeof(HEAD) - 1);
		assert_non_null(rest);
		assert_non_null(memmem(m->content, m->len, "=C3=BC", 6));
		check_at_peer(i, 2, rest, m->len - (size_t)(rest - m->content));
	}
	end();
}

static void
test_in_a_maildir(void **state)
{
	static const char content[] = HEAD "\r\n.x\r\n";

	(void)state;
	begin("", NULL, "");
	struct envelope *env =
		world_envelope("boxes", 2, content, sizeof(content) - 1);
	env->recipients[0].sign = ONE;
	env->recipients[1].sign = ONE;
	struct world_job *job = world_send(env);
	world_wait(job);
	assert_string_equal(job->signed_by, "example.com/s1");
	world_expect(job, OUTCOME_DELIVERED, 250, NULL);

	char *path = mem_printf("%s/new", world_maildir());
	DIR *dir = opendir(path);
	assert_non_null(dir);
	unsigned found = 0;
	struct dirent *d;
	while ((d = readdir(dir)) != NULL) {
		char text[4096] = "";

		if (d->d_name[0] == '.') {
			continue;
		}
		char *name = mem_printf("%s/%s", path, d->d_name);
		FILE *f = fopen(name, "r");
		assert_non_null(f);
		assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
		assert_int_equal(fclose(f), 0);
		assert_null(strchr(text, '\r'));
		const char *at = strstr(text, "\nDelivered-To: ");
		assert_non_null(at);
		at = strchr(at + 1, '\n') + 1;
		assert_true(strncmp(at, "DKIM-Signature: ", 16) == 0);
		assert_non_null(strstr(at, "\nFrom: a@example.com\nSubject: x\n"
		                           "\n.x\n"));
		free(name);
		found++;
	}
	assert_int_equal(closedir(dir), 0);
	free(path);
	assert_int_equal(found, 2);
	end();
}

/* ---- what was found out about mail from outside (B44) ------------------- */

static struct world_job *
send_inbound(const char *route, const char *content, size_t len, bool cold)
{
	struct envelope *env = world_envelope(route, 1, content, len);

	env->auth = A_R;
	if (cold) {
		world_make_cold(env);
	}
	struct world_job *job = world_send(env);
	world_wait(job);
	return job;
}

static void
test_auth_on_top(void **state)
{
	static const char with[] =
		HEAD FORGED OTHER FORGED "To: b\r\n\r\n.b\r\n";
	static const char without[] = A_R HEAD OTHER "To: b\r\n\r\n.b\r\n";
	static const char plain[] = HEAD OTHER "\r\n.b\r\n";

	(void)state;
	for (size_t o = 0; o < sizeof(offers) / sizeof(offers[0]); o++) {
		begin(offers[o], NULL, "");
		for (unsigned i = 0; i < 2; i++) {
			world_expect(send_inbound("r0", with, sizeof(with) - 1,
			                          i == 1),
			             OUTCOME_DELIVERED, 250, NULL);
			check_arrived(0, i, without, sizeof(without) - 1);
		}
		world_expect(
			send_inbound("r0", plain, sizeof(plain) - 1, false),
			OUTCOME_DELIVERED, 250, NULL);
		check_at_peer(2, 0, A_R HEAD OTHER "\r\n.b\r\n",
		              sizeof(A_R HEAD OTHER "\r\n.b\r\n") - 1);
		end();
	}
}

/* A header longer than the pieces that a content is read in. */
static void
test_auth_long(void **state)
{
	struct buf header;

	(void)state;
	buf_init(&header, 400000);
	buf_puts(&header, HEAD FORGED);
	for (unsigned i = 0; i < 4000; i++) {
		buf_addf(&header, "X-%u: %060u\r\n", i, i);
	}
	size_t at = buf_len(&header);
	buf_puts(&header, FORGED "\r\n");
	char *c = make_long(buf_cstr(&header), 700000);
	char *want =
		mem_printf(A_R HEAD "%.*s%s", (int)(at - strlen(HEAD FORGED)),
	                   c + strlen(HEAD FORGED), c + at + strlen(FORGED));
	for (size_t o = 0; o < sizeof(offers) / sizeof(offers[0]); o++) {
		begin(offers[o], NULL, "");
		for (unsigned i = 0; i < 2; i++) {
			world_expect(send_inbound("r0", c, 700000, i == 1),
			             OUTCOME_DELIVERED, 250, NULL);
			check_at_peer(i, 0, want, strlen(want));
		}
		end();
	}
	free(want);
	free(c);
	buf_clear(&header);
}

static void
test_auth_in_a_maildir(void **state)
{
	static const char with[] = HEAD FORGED "\r\nb\r\n";

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin("", NULL, "");
		struct world_job *job =
			send_inbound("boxes", with, sizeof(with) - 1, i == 1);
		char *path;
		char text[4096] = "";

		assert_int_equal(job->results[0].action, OUTCOME_DELIVERED);
		path = mem_printf("%s/new/%s", world_maildir(),
		                  strstr(job->results[0].status.text, " as ") +
		                          4);
		FILE *f = fopen(path, "r");
		assert_non_null(f);
		assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
		assert_int_equal(fclose(f), 0);
		assert_string_equal(
			text,
			"Return-Path: <a@example.com>\n"
			"Delivered-To: r0@partner.test\n"
			"Authentication-Results: gw1.example.net; "
			"spf=pass\nFrom: a@example.com\nSubject: x\n\nb\n");
		free(path);
		world_job_free(&job);
		end();
	}
}

/* ---- what cannot be signed ---------------------------------------------- */

/* A3.16: never unsigned. */
static void
test_definition_gone(void **state)
{
	static const char *const wanted[] = { GONE, ONE "\n" GONE,
		                              GONE "\n" ONE };

	(void)state;
	begin(CHUNKED, NULL, "");
	for (unsigned i = 0; i < 6; i++) {
		const char *c = contents[0];
		struct world_job *job =
			send_signed(wanted[i / 2], c, strlen(c), i % 2 == 1);

		assert_non_null(
			strstr(job->results[0].status.text, "\"" GONE "\""));
		assert_true(job->results[0].attempted);
		assert_string_equal(job->signed_by, "");
		world_expect(job, OUTCOME_RETRY, 451, "4.7.0");
	}
	assert_int_equal(count_sent(0, "MAIL"), 0);
	end();
}

static void
test_reload(void **state)
{
	const char *c = contents[0];

	(void)state;
	begin(DATA_ONLY, NULL, "");
	world_reload(false);
	world_expect(send_signed(ONE, c, strlen(c), false), OUTCOME_RETRY, 451,
	             "4.7.0");
	world_reload(true);
	world_expect(send_signed(ONE, c, strlen(c), false), OUTCOME_DELIVERED,
	             250, NULL);
	check_at_peer(0, 1, c, strlen(c));
	end();
}

static void
test_maildir_defers(void **state)
{
	static const char content[] = HEAD "\r\nx\r\n";

	(void)state;
	begin("", NULL, "");
	struct envelope *env =
		world_envelope("boxes", 1, content, sizeof(content) - 1);
	env->recipients[0].sign = GONE;
	struct world_job *job = world_send(env);
	world_wait(job);
	world_expect(job, OUTCOME_RETRY, 451, "4.7.0");
	end();
}

/* No verifier would agree on it, now or later. */
static void
test_unsignable(void **state)
{
	static const char *const bad[] = {
		HEAD "no field at all\r\nTo: b\r\n\r\nx\r\n",
		"Subject: nobody wrote it\r\n\r\nx\r\n",
	};

	(void)state;
	begin(CHUNKED, NULL, "");
	for (unsigned i = 0; i < 4; i++) {
		const char *c = bad[i / 2];

		world_expect(send_signed(ONE, c, strlen(c), i % 2 == 1),
		             OUTCOME_BOUNCE, 554, "5.6.0");
	}
	assert_int_equal(count_sent(0, "MAIL"), 0);
	end();
}

/* What the store cannot give back is not signed either, and not lost. */
static void
test_unreadable(void **state)
{
	char *c = make_long(HEAD "\r\n", 400000);

	(void)state;
	begin(DATA_ONLY, NULL, "");
	struct envelope *env = world_envelope("r0", 1, c, 400000);
	env->recipients[0].sign = ONE;
	world_make_cold(env);
	env->content.segment += 1000;
	struct world_job *job = world_send(env);
	world_wait(job);
	world_expect(job, OUTCOME_RETRY, 451, "4.3.0");
	assert_int_equal(count_sent(0, "MAIL"), 0);
	end();
	free(c);
}

/* ---- once for many ------------------------------------------------------ */

static const struct payload_head *
make(struct envelope *env, const char *sign, enum render_form form)
{
	const struct payload_head *h = world_head(env, NULL, sign, form);

	assert_non_null(h);
	assert_int_equal(h->from, 0);
	return h;
}

static void
test_once_for_many(void **state)
{
	const char *c = contents[0];

	(void)state;
	begin(DATA_ONLY, NULL, "");
	struct envelope *env = world_envelope("r0", 2, c, strlen(c));
	const struct payload_head *first = make(env, ONE, RENDER_AS_IS);
	const struct payload_head *h = make(env, ONE, RENDER_AS_IS);
	assert_ptr_equal(first, h);
	payload_head_free(env, &h);
	assert_null(h);

	/* Other octets, other signatures. */
	h = make(env, ONE, RENDER_CONVERTED);
	assert_ptr_not_equal(first, h);
	payload_head_free(env, &h);
	h = make(env, BOTH, RENDER_AS_IS);
	assert_ptr_not_equal(first, h);
	assert_string_equal(h->signed_by, "example.com/s1,example.org/s2");
	payload_head_free(env, &h);

	/* t= is not a lie. */
	((struct payload_head *)atomic_load(&env->kept))->made_ms -= 60000;
	h = make(env, ONE, RENDER_AS_IS);
	assert_ptr_not_equal(first, h);
	payload_head_free(env, &h);
	payload_head_free(env, &first);
	envelope_unref(&env);

	/* Who goes to one recipient keeps nothing. */
	env = world_envelope("r0", 1, c, strlen(c));
	h = make(env, ONE, RENDER_AS_IS);
	assert_null(atomic_load(&env->kept));
	payload_head_free(env, &h);
	envelope_unref(&env);
	end();
}

static void
test_who_shares_a_job(void **state)
{
	struct recipient a = { .domain = "partner.test" };
	struct recipient b = { .domain = "partner.test" };

	(void)state;
	assert_true(deliver_alike(&a, &b));
	a.sign = ONE;
	assert_false(deliver_alike(&a, &b));
	assert_false(deliver_alike(&b, &a));
	b.sign = BOTH;
	assert_false(deliver_alike(&a, &b));
	b.sign = ONE;
	assert_true(deliver_alike(&a, &b));
	assert_int_equal(deliver_hash(&a), deliver_hash(&b));
	b.route = "r0";
	assert_false(deliver_alike(&a, &b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_short, tear_down),
		cmocka_unit_test_teardown(test_long, tear_down),
		cmocka_unit_test_teardown(test_end_of_header, tear_down),
		cmocka_unit_test_teardown(test_no_line_end, tear_down),
		cmocka_unit_test_teardown(test_converted, tear_down),
		cmocka_unit_test_teardown(test_in_a_maildir, tear_down),
		cmocka_unit_test_teardown(test_auth_on_top, tear_down),
		cmocka_unit_test_teardown(test_auth_long, tear_down),
		cmocka_unit_test_teardown(test_auth_in_a_maildir, tear_down),
		cmocka_unit_test_teardown(test_definition_gone, tear_down),
		cmocka_unit_test_teardown(test_reload, tear_down),
		cmocka_unit_test_teardown(test_maildir_defers, tear_down),
		cmocka_unit_test_teardown(test_unsignable, tear_down),
		cmocka_unit_test_teardown(test_unreadable, tear_down),
		cmocka_unit_test_teardown(test_once_for_many, tear_down),
		cmocka_unit_test(test_who_shares_a_job),
	};

	return cmocka_run_group_tests(tests, common_conf_set_up,
	                              common_conf_tear_down);
}
