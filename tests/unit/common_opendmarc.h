#ifndef SORTIE_TESTS_UNIT_COMMON_OPENDMARC_H
#define SORTIE_TESTS_UNIT_COMMON_OPENDMARC_H

#include <stdbool.h>

/*
 * What libopendmarc (RFC 7489) says, in words of its own: its names and ours
 * are the same for different values.
 */

struct opinion {
	char p; /* 'n', 'q', 'r' */
	char sp;
	bool strict_dkim;
	bool strict_spf;
};

/* False: it takes the text for no record. */
bool opendmarc_opinion(const char *record, struct opinion *out);

/* By a list of public suffixes, one a line, in a file: relaxed alignment. */
bool opendmarc_suffixes(const char *path);
bool opendmarc_aligned(const char *from, const char *other);

#endif
