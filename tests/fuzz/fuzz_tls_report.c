/*
 * Records of TLS reporting as any domain can publish them, and keys made of
 * what peers say. Beyond memory errors: mailboxes are ones that can stand in
 * an envelope and a header field, what is refused leaves nothing, keys keep
 * their bounds and split into what was put in.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/tls_report.h"

static void
must(bool good)
{
	if (!good) {
		abort();
	}
}

static void
check_record(const char *s, size_t size)
{
	struct tls_report_to to = { .others = 4711 };
	struct address a;

	if (tls_report_parse(s, size, &to) != TLS_REPORT_GOOD) {
		must(to.others == 4711 && to.mailboxes == 0);
		return;
	}
	must(to.mailboxes <= TLS_REPORT_RUA_MAX);
	must(to.mailboxes + to.https + to.others > 0);
	for (size_t i = 0; i < to.mailboxes; i++) {
		size_t len = strlen(to.mailbox[i]);

		must(len > 2 && len <= ADDRESS_MAX);
		must(address_parse(to.mailbox[i], len, 0, &a, NULL) == 0);
		for (size_t k = 0; k < len; k++) {
			must(to.mailbox[i][k] >= ' ' &&
			     to.mailbox[i][k] <= '~');
		}
	}
}

static void
check_key(const char *key, size_t len, size_t fields)
{
	struct tls_key_field f[TLS_KEY_FAILURE_FIELDS];
	size_t sum = fields - 1;

	must(len == strlen(key) && len < TLS_KEY_MAX);
	tls_key_split(key, f, fields);
	for (size_t i = 0; i < fields; i++) {
		must(memchr(f[i].s, '\t', f[i].len) == NULL);
		must(memchr(f[i].s, '\r', f[i].len) == NULL);
		sum += f[i].len;
	}
	must(sum == len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char out[TLS_KEY_MAX];
	char *copy = malloc(size + 1);
	struct tls_policy_key p;
	struct tls_failure_key k = { 0 };
	size_t len;

	must(copy != NULL);
	memcpy(copy, data, size);
	copy[size] = '\0';
	p = (struct tls_policy_key){ .kind = TLS_POLICY_STS,
		                     .text = copy,
		                     .mx = copy + size / 2 };
	len = tls_policy_key_format(&p, out);
	check_key(out, len, TLS_KEY_POLICY_FIELDS);
	k.failure = TLS_FAILURE_VALIDATION;
	k.mx_host = copy;
	k.helo = copy + size / 3;
	k.reason = copy + size / 2;
	len = tls_failure_key_format(&k, out);
	check_key(out, len, TLS_KEY_FAILURE_FIELDS);
	free(copy);

	/* A copy of its own size, so that reading one octet further shows. */
	copy = malloc(size == 0 ? 1 : size);
	must(copy != NULL);
	memcpy(copy, data, size);
	check_record(copy, size);
	free(copy);
	return 0;
}
