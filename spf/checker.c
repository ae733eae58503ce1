#include "spf/checker.h"

#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "spf/guard.h"
#include "spf/macro.h"

/*
 * Whose record is asked (RFC 7208 sections 2.3, 2.4, 4.3).
 */

#define LOCAL_MAX 255 /* no macro's value is of use beyond */

static const char *const words[] = {
	[SPF_NONE] = "none",           [SPF_NEUTRAL] = "neutral",
	[SPF_PASS] = "pass",           [SPF_FAIL] = "fail",
	[SPF_SOFTFAIL] = "softfail",   [SPF_TEMPERROR] = "temperror",
	[SPF_PERMERROR] = "permerror",
};

const char *
spf_result_word(enum spf_result r)
{
	return words[r];
}

/* A name of two labels at least; literals are none. */
static bool
is_domain(const char *s, char out[ADDRESS_DOMAIN_MAX + 1])
{
	return address_domain_normalise(s, strlen(s), out, NULL) == 0 &&
	       strlen(out) <= SPF_NAME_MAX && strchr(out, '.') != NULL;
}

/* An IPv4 client that came over an IPv6 socket is an IPv4 client. */
static void
plain_client(const struct net_addr *in, struct net_addr *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	*out = *in;
	if (in->family == AF_INET6 && memcmp(in->bytes, mapped, 12) == 0) {
		*out = (struct net_addr){ .family = AF_INET };
		memcpy(out->bytes, in->bytes + 12, 4);
	}
}

enum spf_state
spf_check(const struct spf_query *q, const struct dns_source *dns,
          struct spf_report *out)
{
	struct spf_guard_query g = {
		.local = "postmaster",
		.local_len = strlen("postmaster"),
		.helo = q->helo != NULL ? q->helo : "",
	};
	const char *sender = q->sender != NULL ? q->sender : "";
	const char *at = strrchr(sender, '@');
	const char *domain = at != NULL ? at + 1 : sender;
	char text[LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX + 1];
	char name[ADDRESS_DOMAIN_MAX + 1];

	memset(out, 0, sizeof(*out));
	plain_client(&q->client, &g.client);
	if (sender[0] == '\0') {
		out->helo = true;
		domain = g.helo;
	} else if (at != NULL && at > sender) {
		g.local = sender;
		g.local_len = (size_t)(at - sender);
	}
	if (g.local_len > LOCAL_MAX) {
		g.local_len = LOCAL_MAX;
	}
	if (!is_domain(domain, name) ||
	    (g.client.family != AF_INET && g.client.family != AF_INET6)) {
		return SPF_DONE; /* none */
	}
	memcpy(out->domain, name, sizeof(name));
	(void)snprintf(text, sizeof(text), "%.*s@%s", (int)g.local_len, g.local,
	               name);
	g.sender = text;
	g.domain = name;
	return spf_guard_run(&g, dns, out);
}
