#ifndef SORTIE_DKIM_VERIFIER_H
#define SORTIE_DKIM_VERIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dns.h"
#include "base/err.h"

/*
 * Verification of a message's signatures by libopendkim: all of them up to
 * DKIM_VERIFY_MAX, each with a result of its own (RFC 8601 section 2.7.1).
 * rsa-sha1 and RSA below 1024 bits do not pass (RFC 8301); what stands behind
 * l= counts as unsigned, so that such a signature is "policy" unless it covers
 * the whole body (checklist B33). Costs CPU: for workers. Any octets are safe;
 * of a header or body that is not made of lines with CRLF, of a header with a
 * line that is no field, and of an absurd one nothing passes: "neutral".
 *
 * An expired signature is "policy". Times are those of the clock, and the
 * library lets five minutes pass.
 */

#define DKIM_VERIFY_MAX 8 /* signatures; the first ones, from the top */

enum dkim_result {
	DKIM_RESULT_NONE = 0, /* no signature */
	DKIM_RESULT_PASS,
	DKIM_RESULT_FAIL,
	DKIM_RESULT_POLICY,
	DKIM_RESULT_NEUTRAL,   /* cannot be processed: syntax, too much */
	DKIM_RESULT_TEMPERROR, /* no answer for the key now */
	DKIM_RESULT_PERMERROR, /* no key, or one that cannot be used */
};

struct dkim_verdict { /* of one signature; texts are safe, "" when unknown */
	enum dkim_result result;
	char domain[256];   /* d=, normalised */
	char selector[256]; /* s= */
	char identity[320]; /* i= */
	char algorithm[24]; /* a= */
	char mark[13];      /* the first octets of b= (RFC 6008) */
	bool testing;       /* t=y in the key record */
	char text[160];     /* why it did not pass */
};

/* Names of the key records that will be asked for (TXT), so that they can be
 * looked up before: up to DKIM_VERIFY_MAX. The header as it came. */
size_t dkim_verify_names(const char *header, size_t len,
                         char names[DKIM_VERIFY_MAX][256]);

/*
 * One message on one thread, fed as in dkim/signer.h, but tolerant: anything
 * may come. keys: a name that it does not know is DKIM_RESULT_TEMPERROR.
 */
struct dkim_verification;
struct dkim_verification *dkim_verify_new(const struct dns_source *keys);
void dkim_verify_header(struct dkim_verification *v, const char *header,
                        size_t len);
void dkim_verify_body(struct dkim_verification *v, const char *data,
                      size_t len);
/* The number of verdicts; 0: unsigned. */
size_t dkim_verify_end(struct dkim_verification *v,
                       struct dkim_verdict verdicts[DKIM_VERIFY_MAX]);
void dkim_verify_free(struct dkim_verification **v);

const char *dkim_result_word(enum dkim_result r); /* as RFC 8601 has it */

#endif
