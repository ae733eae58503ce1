/*
 * The command line of the bench's programs, from a table.
 */
#include "tests/bench/common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static long
parse_number(const char *name, const char *text, long min, long max)
{
	char *end = NULL;

	errno = 0;
	long n = strtol(text, &end, 10);

	if (errno != 0 || end == text || *end != '\0' || n < min || n > max) {
		(void)fprintf(stderr, "%s %s: a number from %ld to %ld\n", name,
		              text, min, max);
		exit(2);
	}
	return n;
}

static struct sockaddr_in
parse_endpoint(const char *name, const char *text)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	char address[INET_ADDRSTRLEN] = "";
	const char *colon = strrchr(text, ':');

	if (colon != NULL && (size_t)(colon - text) < sizeof address) {
		memcpy(address, text, (size_t)(colon - text));
	}
	if (colon == NULL || inet_pton(AF_INET, address, &sin.sin_addr) != 1 ||
	    ntohl(sin.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET) {
		(void)fprintf(stderr, "%s %s: 127.x.y.z:PORT\n", name, text);
		exit(2);
	}
	sin.sin_port =
		htons((uint16_t)parse_number(name, colon + 1, 1, UINT16_MAX));
	return sin;
}

static void
set(const struct setting *s, const char *value)
{
	if (s->number != NULL) {
		*s->number = parse_number(s->name, value, s->min, s->max);
	} else if (s->endpoint != NULL) {
		*s->endpoint = parse_endpoint(s->name, value);
	} else {
		*s->text = value;
	}
}

void
settings_parse(const struct setting *table, size_t n, const char *usage,
               int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const struct setting *s = NULL;

		for (size_t k = 0; k < n; k++) {
			if (strcmp(table[k].name, argv[i]) == 0) {
				s = &table[k];
			}
		}
		if (s != NULL && s->flag != NULL) {
			*s->flag = true;
		} else if (s != NULL && i + 1 < argc) {
			set(s, argv[++i]);
		} else {
			(void)fputs(usage, stderr);
			exit(2);
		}
	}
}
