/*
 * libopendmarc asked for records and alignment, without DNS. It writes into
 * the texts that it is given: it gets copies.
 */
#include "tests/unit/common_opendmarc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/types.h>

#include <netinet/in.h>

#include <opendmarc/dmarc.h>

static u_char *
copy(const char *s)
{
	u_char *c = (u_char *)strdup(s);

	if (c == NULL) {
		abort();
	}
	return c;
}

/* sp= is p= when it is not given. */
static bool
read_context(DMARC_POLICY_T *context, struct opinion *out)
{
	int p = 0;
	int sp = 0;
	int adkim = 0;
	int aspf = 0;

	if (opendmarc_policy_fetch_p(context, &p) != DMARC_PARSE_OKAY ||
	    opendmarc_policy_fetch_sp(context, &sp) != DMARC_PARSE_OKAY ||
	    opendmarc_policy_fetch_adkim(context, &adkim) != DMARC_PARSE_OKAY ||
	    opendmarc_policy_fetch_aspf(context, &aspf) != DMARC_PARSE_OKAY) {
		return false;
	}
	out->p = (char)p;
	out->sp = (char)(sp == DMARC_RECORD_P_UNSPECIFIED ? p : sp);
	out->strict_dkim = adkim == DMARC_RECORD_A_STRICT;
	out->strict_spf = aspf == DMARC_RECORD_A_STRICT;
	return true;
}

bool
opendmarc_opinion(const char *record, struct opinion *out)
{
	u_char *client = copy("192.0.2.1");
	u_char *domain = copy("example.com");
	u_char *text = copy(record);
	DMARC_POLICY_T *context = opendmarc_policy_connect_init(client, 0);
	bool good = context != NULL &&
	            opendmarc_policy_parse_dmarc(context, domain, text) ==
	                    DMARC_PARSE_OKAY &&
	            read_context(context, out);

	if (context != NULL) {
		(void)opendmarc_policy_connect_shutdown(context);
	}
	free(client);
	free(domain);
	free(text);
	return good;
}

bool
opendmarc_suffixes(const char *path)
{
	char *name = (char *)copy(path);
	char comment[] = "//";
	int rc = opendmarc_tld_read_file(name, comment, NULL, NULL);

	free(name);
	return rc == 0;
}

bool
opendmarc_aligned(const char *from, const char *other)
{
	u_char *client = copy("192.0.2.1");
	u_char *author = copy(from);
	u_char *signer = copy(other);
	u_char *selector = copy("s");
	u_char *record = copy("v=DMARC1; p=reject");
	DMARC_POLICY_T *context = opendmarc_policy_connect_init(client, 0);
	bool aligned =
		context != NULL &&
		opendmarc_policy_store_from_domain(context, author) ==
			DMARC_PARSE_OKAY &&
		opendmarc_policy_store_dkim(context, signer, selector,
	                                    DMARC_POLICY_DKIM_OUTCOME_PASS,
	                                    NULL) == DMARC_PARSE_OKAY &&
		opendmarc_policy_store_dmarc(context, record, author, NULL) ==
			DMARC_PARSE_OKAY &&
		opendmarc_get_policy_to_enforce(context) == DMARC_POLICY_PASS;

	if (context != NULL) {
		(void)opendmarc_policy_connect_shutdown(context);
	}
	free(client);
	free(author);
	free(signer);
	free(selector);
	free(record);
	return aligned;
}
