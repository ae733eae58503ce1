#ifndef SORTIE_TESTS_UNIT_COMMON_VERIFY_H
#define SORTIE_TESTS_UNIT_COMMON_VERIFY_H

#include <openssl/types.h>
#include <stddef.h>

#include "dkim/verifier.h"
#include "tests/unit/common_signature.h"

/* Messages signed by common_signature.h, and verified. */

#define HEADER                                                                 \
	"Received: from x by y; now\r\n"                                       \
	"From: Ann\r\n\t<ann@example.com>\r\n"                                 \
	"To:  Bob <bob@example.net> \r\n"                                      \
	"SUBJECT : a  b\tc\r\n d\r\n"                                          \
	"Date: Fri, 11 Jul 2003 21:00:37 -0700\r\n"
#define BODY  "Hello  you \r\n\r\n\tthere.\r\n"
#define NAMES "h=From:To:Subject:Date:From:Cc"
/* What stands before h=, and a hash of no body here. */
#define T      " v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s1; "
#define BAD_BH "bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="

extern EVP_PKEY *rsa;
extern EVP_PKEY *ed;
extern EVP_PKEY *weak; /* 512 bits */
extern struct common_zone zone;

/* Of a group of tests. */
int common_verify_set_up(void **state);
int common_verify_tear_down(void **state);

/* flags: more tags of the record. */
void publish(const char *name, EVP_PKEY *key, const char *flags);
/* s1 and s2 of example.com are the keys rsa and ed. */
void publish_both(void);

struct outcome {
	size_t n;
	struct dkim_verdict v[DKIM_VERIFY_MAX];
};

/* The body in pieces of so many octets. */
struct outcome verify_pieces(const char *header, size_t header_len,
                             const char *body, size_t body_len, size_t piece);
struct outcome verify(const char *header, const char *body);
/* A message with one signature of such tags, by the key. */
struct outcome verify_tags(EVP_PKEY *key, const char *tags, const char *header,
                           const char *body);
/* text: a part of the verdict's. */
void expect(const struct dkim_verdict *v, const char *what,
            enum dkim_result result, const char *text);

#endif
