#ifndef SORTIE_TESTS_UNIT_DELIVER_SCENE_H
#define SORTIE_TESTS_UNIT_DELIVER_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests/unit/common_deliver.h"

/*
 * What the delivery tests share: one peer, a world around it, and what
 * arrived there.
 */

#define SMALL     "Subject: x\r\n\r\nhello\r\n"
#define SMALL_LEN (sizeof(SMALL) - 1)
#define ALL                                                                    \
	"250-PIPELINING\r\n250-SIZE 10000000\r\n250-8BITMIME\r\n250-DSN\r\n"   \
	"250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n"
#define DATA_ONLY ALL "250 HELP\r\n"
#define LIMITED   "250-PIPELINING\r\n250-LIMITS RCPTMAX=4\r\n250 CHUNKING\r\n"
#define CHUNKED   ALL "250 CHUNKING\r\n"

static inline char *
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

static inline void
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

static inline void
begin(const char *capabilities, peer_script script, const char *delivery)
{
	peer_start(0, capabilities, script);
	world_start(delivery);
}

static inline void
end(void)
{
	world_stop();
	for (unsigned i = 0; i < PEERS; i++) {
		peer_stop(i);
	}
}

/* A test that failed half-way must not spoil the next. */
static inline int
tear_down(void **state)
{
	(void)state;
	end();
	return 0;
}

static inline unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = strstr(text, what); p != NULL;
	     p = strstr(p + 1, what)) {
		n++;
	}
	return n;
}

static inline unsigned
count_sent(unsigned peer, const char *what)
{
	char *t = peer_transcript(peer);
	unsigned n = count(t, what);

	free(t);
	return n;
}

#endif
