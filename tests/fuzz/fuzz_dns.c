/*
 * Any bytes as a DNS message. The first octet picks the type; the name asked
 * for is the one in the message's question, when there is one, so that the
 * parser gets behind it. Checks what the header promises of every answer.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/net/dns_packet.h"

static void
check(bool good)
{
	if (!good) {
		abort();
	}
}

/* The question's name as text; "" when it has none that is plain. */
static void
question_name(const uint8_t *data, size_t len, char out[256])
{
	struct dns_name n = { .len = 0 };
	size_t at = 12;

	while (at < len && data[at] != 0 && data[at] < 64 &&
	       n.len + data[at] + 2 < DNS_NAME_MAX && at + data[at] + 1 < len) {
		memcpy(n.data + n.len, data + at, data[at] + 1u);
		n.len = (uint8_t)(n.len + data[at] + 1);
		at += data[at] + 1u;
	}
	n.data[n.len++] = 0;
	dns_name_to_text(&n, out);
}

static void
check_record(const struct dns_record *r, enum dns_type type, size_t len)
{
	volatile uint8_t sum = 0;

	check(memchr(r->name, '\0', sizeof(r->name)) != NULL);
	check(r->data_len <= len);
	for (size_t i = 0; i < r->data_len; i++) {
		sum = (uint8_t)(sum + r->data[i]);
	}
	if (type == DNS_A || type == DNS_AAAA) {
		check(r->address.family == AF_INET ||
		      r->address.family == AF_INET6);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_A,   DNS_CNAME, DNS_MX,
		                               DNS_TXT, DNS_AAAA,  DNS_TLSA };
	enum dns_type type;
	struct dns_answer a;
	char name[256];

	if (size == 0) {
		return 0;
	}
	type = types[data[0] % (sizeof(types) / sizeof(types[0]))];
	data++;
	size--;
	question_name(data, size, name);
	dns_answer_parse(data, size, name, type, &a);

	check((a.status == DNS_OK) == (a.records_n > 0));
	check(a.records_n <= DNS_RECORDS_MAX);
	check(memchr(a.text, '\0', sizeof(a.text)) != NULL);
	check(memchr(a.canonical, '\0', sizeof(a.canonical)) != NULL);
	check(!a.secure);
	for (size_t i = 0; i < a.records_n; i++) {
		check_record(&a.records[i], type, size);
	}
	dns_answer_clear(&a);
	check(a.records == NULL);
	return 0;
}
