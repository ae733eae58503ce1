#ifndef SORTIE_POLICY_MTA_STS_H
#define SORTIE_POLICY_MTA_STS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "policy/tls_level.h"

/*
 * What a domain publishes by MTA-STS (RFC 8461): the TXT record that says that
 * there is a policy, and the policy. Pure; any octets are safe.
 */

#define MTA_STS_ID_MAX      32       /* section 3.1 */
#define MTA_STS_MAX_AGE_MAX 31557600 /* seconds; a longer one is cut to it */
#define MTA_STS_BODY_MAX    65536    /* octets of a policy (section 3.3) */

enum mta_sts_mode { /* section 5 */
	MTA_STS_NONE = 0,
	MTA_STS_TESTING,
	MTA_STS_ENFORCE,
};

const char *mta_sts_mode_word(enum mta_sts_mode m); /* "enforce" */

/* ---- the TXT record of _mta-sts.DOMAIN ------------------------------ */

enum mta_sts_record {
	MTA_STS_RECORD_OTHER = 0, /* does not begin with "v=STSv1;": ignored */
	MTA_STS_RECORD_BAD, /* it does, and breaks the grammar or has no id */
	MTA_STS_RECORD_GOOD,
};

/* data: the strings of the record joined. id is filled for GOOD; *e for BAD.
 * More than one record that is not OTHER is as none: the caller counts. */
enum mta_sts_record mta_sts_record_parse(const uint8_t *data, size_t len,
                                         char id[MTA_STS_ID_MAX + 1],
                                         struct err *e);

/* ---- the policy ----------------------------------------------------- */

/* Immutable, shared by reference count (ref and unref are thread-safe). */
struct mta_sts_policy {
	_Atomic unsigned refs;
	enum mta_sts_mode mode;
	uint32_t max_age_s;
	size_t size;     /* octets of memory, all in all */
	const char **mx; /* "mx.example.com", "*.example.com": normalised */
	size_t mx_n;     /* never 0 but in mode "none" */
};

/*
 * The body of mta-sts.txt (section 3.2): lines "key: value" that end in LF or
 * CRLF, in any order; "version", "mode" and "max_age" once (of several the
 * first counts), "mx" at least once but in mode "none"; other keys and empty
 * lines are ignored. NULL with ERR_INVALID (*e names line and fault) or
 * ERR_LIMIT (over MTA_STS_BODY_MAX).
 */
struct mta_sts_policy *mta_sts_policy_parse(const char *body, size_t len,
                                            struct err *e);
struct mta_sts_policy *mta_sts_policy_ref(const struct mta_sts_policy *p);
void mta_sts_policy_unref(struct mta_sts_policy **p); /* NULL is fine */

/* The policy as text that parses to its equal: known keys only, in one order,
 * lines that end in LF. malloc'ed. */
char *mta_sts_policy_format(const struct mta_sts_policy *p);

/* Do they ask the same, max_age included? NULL equals NULL alone. */
bool mta_sts_policy_equal(const struct mta_sts_policy *a,
                          const struct mta_sts_policy *b);

/* Does a pattern match the host (section 4.1)? "*." stands for exactly one
 * label, the left-most. Case and a trailing dot of the host do not matter. */
bool mta_sts_lists(const struct mta_sts_policy *p, const char *mx_host);

/* What the policy says of a host: UNLISTED in mode "enforce" alone; in mode
 * "testing" mta_sts_lists tells what a report is to say. NULL: NONE. */
enum tls_sts mta_sts_match(const struct mta_sts_policy *p, const char *mx_host);

#endif
