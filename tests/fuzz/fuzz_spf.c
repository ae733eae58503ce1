/*
 * A whole evaluation: client, sender, HELO and a zone from the input, a line
 * each. Names in records lead where they will. It ends within bounds of rounds,
 * questions and look-ups; answers that come one by one change nothing; what is
 * reported is safe.
 *
 *   192.0.2.1
 *   a@x.example
 *   h.example
 *   x.example T v=spf1 a include:y.example -all
 *   x.example 4 192.0.2.1          6: AAAA, M: MX, P: PTR, C: CNAME
 *   z.example F                    fails
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/fuzz/common_check.h"
#include "tests/unit/common_spf_zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each round asks for one answer more at least: a record and up to ten hosts
 * for each look-up that counts, and the validated names. */
#define ROUNDS_MAX ((1 + SPF_LOOKUPS_MAX) * 12)

static void
add_row(struct spf_zone *z, const char *name, char type, const char *value,
        size_t len)
{
	uint8_t address[16];
	char text[300];

	(void)snprintf(text, sizeof(text), "%.*s", (int)(len < 299 ? len : 299),
	               value);
	switch (type) {
	case 'T':
		spf_zone_add_text(z, name, value, len);
		break;
	case '4':
		if (inet_pton(AF_INET, text, address) == 1) {
			spf_zone_add(z, name, DNS_A, text);
		}
		break;
	case '6':
		if (inet_pton(AF_INET6, text, address) == 1) {
			spf_zone_add(z, name, DNS_AAAA, text);
		}
		break;
	case 'M':
		spf_zone_add(z, name, DNS_MX, text);
		break;
	case 'P':
		spf_zone_add(z, name, DNS_PTR, text);
		break;
	case 'C':
		spf_zone_add(z, name, DNS_CNAME, text);
		break;
	default:
		spf_zone_fail(z, name, 0, DNS_TIMEOUT);
		break;
	}
}

/* The line at *at, terminated; its length. */
static char *
next_line(char **at, const char *end, size_t *len_r)
{
	char *line = *at;
	char *stop = memchr(line, '\n', (size_t)(end - line));

	if (stop == NULL) {
		stop = line + (end - line);
	}
	*stop = '\0';
	*len_r = (size_t)(stop - line);
	*at = stop < end ? stop + 1 : stop;
	return line;
}

static void
check_text(const char *text, size_t max)
{
	CHECK(strlen(text) < max);
	for (; *text != '\0'; text++) {
		CHECK(*text >= 0x20 && *text < 0x7f);
	}
}

static void
check_report(const struct spf_report *r)
{
	CHECK(r->result <= SPF_PERMERROR);
	CHECK(r->lookups <= SPF_LOOKUPS_MAX ||
	      (r->lookups == SPF_LOOKUPS_MAX + 1 &&
	       r->result == SPF_PERMERROR));
	CHECK(r->voids <= SPF_VOIDS_MAX ||
	      (r->voids == SPF_VOIDS_MAX + 1 && r->result == SPF_PERMERROR));
	check_text(r->text, sizeof(r->text));
	check_text(r->mechanism, sizeof(r->mechanism));
	check_text(r->domain, sizeof(r->domain));
	CHECK((r->text[0] == '\0') ==
	      (r->result == SPF_NONE || r->result == SPF_PASS));
	CHECK(r->result != SPF_PASS || r->mechanism[0] != '\0');
	/* The library said nothing that the guard had not to expect. */
	CHECK(strncmp(r->text, "the record of ", 14) != 0);
	CHECK(strncmp(r->text, "evaluating the record ", 22) != 0);
}

static void
evaluate(struct spf_zone *z, const struct spf_query *q)
{
	struct spf_report at_once;
	struct spf_report late;
	size_t asked = 0;

	CHECK(spf_zone_check(z, q, &at_once) == 1);
	while (spf_zone_asked(z, asked) != NULL) {
		asked++;
	}
	/* With p in ten terms, all names are looked at for each. */
	CHECK(asked <= 1 + SPF_LOOKUPS_MAX * 40);
	spf_zone_slow(z, true);
	unsigned rounds = spf_zone_check(z, q, &late);
	CHECK(rounds > 0 && rounds <= ROUNDS_MAX);
	CHECK(at_once.result == late.result);
	CHECK(at_once.lookups == late.lookups && at_once.voids == late.voids);
	CHECK(strcmp(at_once.mechanism, late.mechanism) == 0);
	CHECK(strcmp(at_once.text, late.text) == 0);
	check_report(&at_once);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_alloc(size + 1);
	const char *end = text + size;
	char *at = text;
	size_t len;
	struct spf_zone *z = spf_zone_new();
	struct spf_query q = {
		.client = { .family = AF_INET, .bytes = { 192, 0, 2, 1 } },
	};

	memcpy(text, data, size);
	(void)net_addr_parse(next_line(&at, end, &len), &q.client, NULL);
	q.sender = next_line(&at, end, &len);
	q.helo = next_line(&at, end, &len);
	for (int i = 0; i < 60 && at < end; i++) {
		char *line = next_line(&at, end, &len);
		char *blank = strchr(line, ' ');

		if (blank != NULL && blank[1] != '\0') {
			size_t head = (size_t)(blank - line) + 3;

			*blank = '\0';
			add_row(z, line, blank[1],
			        line + (head < len ? head : len),
			        head < len ? len - head : 0);
		}
	}
	evaluate(z, &q);
	spf_zone_free(&z);
	free(text);
	return 0;
}
