#ifndef SORTIE_TESTS_UNIT_COMMON_DKIM_H
#define SORTIE_TESTS_UNIT_COMMON_DKIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "dkim/key.h"
#include "dkim/signer.h"

/*
 * What the tests of signatures share: keys, messages, and two verifiers that
 * know nothing of each other: one written here from RFC 6376, and that of
 * libopendkim.
 */

#define COMMON_DKIM_NOW_MS INT64_C(1700000000000) /* t=1700000000 */
#define COMMON_DKIM_KEYS   3 /* "rsa" of 1024 bits, "ed25519", "rsa2048" */

struct common_dkim {
	struct dkim_key *keys[COMMON_DKIM_KEYS];
	char *records[COMMON_DKIM_KEYS];
	struct dkim_keyring *ring; /* definitions and selectors: those names */
};

void common_dkim_set_up(struct common_dkim *c);
void common_dkim_tear_down(struct common_dkim *c);
/* The same for a group of tests. */
extern struct common_dkim common_dkim_all;
int common_dkim_group_set_up(void **state);
int common_dkim_group_tear_down(void **state);

/* A message in two parts: the header with its empty line, the body. */
struct common_dkim_message {
	struct buf header;
	struct buf body;
};

void common_dkim_message_init(struct common_dkim_message *m);
void common_dkim_message_set(struct common_dkim_message *m, const char *header,
                             const char *body);
void common_dkim_message_clear(struct common_dkim_message *m);
/* Anything that can be signed; odd: white space before colons, too. */
void common_dkim_message_random(struct common_dkim_message *m, bool odd,
                                uint64_t *random);

uint64_t common_dkim_random(uint64_t *state);

/* Signatures by the definitions of names (first letters "r", "e", "2"), the
 * body in random pieces. The fields; -1 with *e. */
int common_dkim_sign(const struct common_dkim *c, const char *names,
                     const struct common_dkim_message *m, uint64_t *random,
                     struct buf *out, struct err *e);

/*
 * Verifies each DKIM-Signature of a whole message. The number that is good;
 * all_r: how many there are. why_r (may be NULL) says what is wrong with the
 * last that is not.
 */
unsigned common_dkim_verify(const struct common_dkim *c, const char *msg,
                            size_t len, unsigned *all_r, const char **why_r);
unsigned common_dkim_library(const struct common_dkim *c, const char *msg,
                             size_t len, unsigned *all_r);

/* fields + header + body. */
void common_dkim_join(const struct buf *fields,
                      const struct common_dkim_message *m, struct buf *out);

#endif
