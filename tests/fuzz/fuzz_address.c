/*
 * Paths, mailboxes and domains as a peer sends them. Beyond memory errors it
 * holds what callers rely on: lengths, that a parsed text parses again to the
 * same, and that normalising is idempotent.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"

static void
must(bool good)
{
	if (!good) {
		abort();
	}
}

static void
check_address(const struct address *a, unsigned flags)
{
	char plain[ADDRESS_LOCAL_MAX + 1];
	char again[ADDRESS_DOMAIN_MAX + 1];
	struct address b = { 0 };
	size_t len = strlen(a->text);

	must(len <= ADDRESS_MAX && a->local_len <= ADDRESS_LOCAL_MAX);
	must(a->local_len == len || a->text[a->local_len] == '@');
	must(address_parse(a->text, len, flags, &b, NULL) == 0);
	must(strcmp(a->text, b.text) == 0 && strcmp(a->domain, b.domain) == 0);
	must(a->local_len == b.local_len && a->utf8 == b.utf8);
	address_local_plain(a, plain);
	must(strlen(plain) <= a->local_len && plain[0] != '\0');
	if (!a->literal && a->domain[0] != '\0') {
		must(address_domain_normalise(a->domain, strlen(a->domain),
		                              again, NULL) == 0);
		must(strcmp(a->domain, again) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	char again[ADDRESS_DOMAIN_MAX + 1];
	struct address a = { 0 };
	struct err e = { 0 };
	const char *s;
	size_t used = 0;
	unsigned flags;
	bool null = false;
	char *copy;

	if (size == 0) {
		return 0;
	}
	flags = data[0] & (ADDRESS_UTF8 | ADDRESS_NO_DOMAIN);
	size--;
	/* A copy of its own size, so that reading one octet further shows. */
	copy = malloc(size == 0 ? 1 : size);
	must(copy != NULL);
	memcpy(copy, data + 1, size);
	s = copy;

	if (address_parse_path(s, size, flags, &a, &null, &used, &e) == 0) {
		must(used >= 2 && used <= size && s[used - 1] == '>');
		must(null || a.text[0] != '\0');
		if (!null) {
			check_address(&a, flags);
		}
	} else {
		must(e.code == ERR_INVALID || e.code == ERR_REFUSED);
		must(used == 0 && a.text[0] == '\0');
	}
	if (address_parse(s, size, flags, &a, &e) == 0) {
		check_address(&a, flags);
	}
	if (address_domain_normalise(s, size, domain, &e) == 0) {
		must(address_domain_normalise(domain, strlen(domain), again,
		                              &e) == 0);
		must(strcmp(domain, again) == 0);
		must(address_domain_within(domain, again));
	}
	free(copy);
	return 0;
}
