#ifndef SORTIE_BASE_CLOCK_H
#define SORTIE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Time. Wall time (Unix, milliseconds) stands in records and headers;
 * monotonic time drives every wait, so that a clock step neither expires nor
 * stalls anything. A test replaces both for the whole process.
 */

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void); /* for measuring */

struct clock_source {
	int64_t (*wall_ms)(void);
	int64_t (*mono_ms)(void);
};

/* NULL: the real clock again. Tests only, before threads start. */
void clock_inject(const struct clock_source *source);

#define CLOCK_TEXT_MAX 40
/* RFC 5322 date-time in UTC: "Tue, 24 Nov 2026 03:57:55 +0000". */
void clock_rfc5322(int64_t wall_ms, char out[CLOCK_TEXT_MAX]);
/* RFC 3339 in UTC with milliseconds: "2026-11-24T03:57:55.123Z". */
void clock_rfc3339(int64_t wall_ms, char out[CLOCK_TEXT_MAX]);
/* RFC 3339 with Z or offset to wall ms; -1 when it is not one. */
int clock_parse_rfc3339(const char *s, int64_t *wall_ms_r);

#endif
