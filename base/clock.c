/*
 * Time of day and time that only grows, and the texts of both. The calendar
 * is computed here: no time zone, no locale, no lock of the C library.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define MS_PER_DAY 86400000

/* Atomic because tests inject while other threads look at the time. */
static int64_t (*_Atomic injected_wall)(void);
static int64_t (*_Atomic injected_mono)(void);

static int64_t
read_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts); /* cannot fail for these clocks */
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
clock_wall_ms(void)
{
	int64_t (*f)(void) =
		atomic_load_explicit(&injected_wall, memory_order_relaxed);

	if (f != NULL) {
		return f();
	}
	return read_us(CLOCK_REALTIME) / 1000;
}

int64_t
clock_mono_ms(void)
{
	int64_t (*f)(void) =
		atomic_load_explicit(&injected_mono, memory_order_relaxed);

	if (f != NULL) {
		return f();
	}
	return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
clock_mono_us(void)
{
	int64_t (*f)(void) =
		atomic_load_explicit(&injected_mono, memory_order_relaxed);

	if (f != NULL) {
		return f() * 1000;
	}
	return read_us(CLOCK_MONOTONIC);
}

void
clock_inject(const struct clock_source *source)
{
	atomic_store(&injected_wall, source == NULL ? NULL : source->wall_ms);
	atomic_store(&injected_mono, source == NULL ? NULL : source->mono_ms);
}

struct civil {
	int64_t year;
	unsigned month; /* 1 to 12 */
	unsigned day;   /* 1 to 31 */
	unsigned hour;
	unsigned minute;
	unsigned second;
	unsigned ms;
	unsigned weekday; /* 0 is Sunday */
};

/* Floor division: days before 1970 count too. */
static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

/*
 * The proleptic Gregorian calendar in eras of 400 years (146097 days), a
 * year running from March to February so that the leap day comes last.
 */
static void
civil_from_ms(int64_t wall_ms, struct civil *c)
{
	int64_t days = floor_div(wall_ms, MS_PER_DAY);
	unsigned ms = (unsigned)(wall_ms - days * MS_PER_DAY);
	int64_t z = days + 719468;
	int64_t era = floor_div(z, 146097);
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	c->day = doy - (153 * mp + 2) / 5 + 1;
	c->month = mp < 10 ? mp + 3 : mp - 9;
	c->year = (int64_t)yoe + era * 400 + (c->month <= 2 ? 1 : 0);
	c->hour = ms / 3600000;
	c->minute = ms / 60000 % 60;
	c->second = ms / 1000 % 60;
	c->ms = ms % 1000;
	c->weekday = (unsigned)(days + 4 - floor_div(days + 4, 7) * 7);
}

static int64_t
days_from_civil(int64_t year, unsigned month, unsigned day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = floor_div(y, 400);
	unsigned yoe = (unsigned)(y - era * 400);
	unsigned mp = month > 2 ? month - 3 : month + 9;
	unsigned doy = (153 * mp + 2) / 5 + day - 1;
	unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + (int64_t)doe - 719468;
}

/* Exactly width decimal digits; returns where the next byte goes. */
static char *
put_digits(char *to, unsigned value, unsigned width)
{
	unsigned i;

	for (i = width; i > 0; i--) {
		to[i - 1] = (char)('0' + value % 10);
		value /= 10;
	}
	return to + width;
}

static char *
put_text(char *to, const char *text, size_t len)
{
	memcpy(to, text, len);
	return to + len;
}

/* Four digits are what both formats have: outside, the nearest that fits. */
static unsigned
year_shown(int64_t year)
{
	if (year < 0) {
		return 0;
	}
	return year > 9999 ? 9999 : (unsigned)year;
}

void
clock_rfc5322(int64_t wall_ms, char out[CLOCK_TEXT_MAX])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct civil c;
	char *p = out;

	civil_from_ms(wall_ms, &c);
	p = put_text(p, days + c.weekday * 3, 3);
	p = put_text(p, ", ", 2);
	p = put_digits(p, c.day, c.day < 10 ? 1 : 2);
	p = put_text(p, " ", 1);
	p = put_text(p, months + (c.month - 1) * 3, 3);
	p = put_text(p, " ", 1);
	p = put_digits(p, year_shown(c.year), 4);
	p = put_text(p, " ", 1);
	p = put_digits(p, c.hour, 2);
	p = put_text(p, ":", 1);
	p = put_digits(p, c.minute, 2);
	p = put_text(p, ":", 1);
	p = put_digits(p, c.second, 2);
	(void)put_text(p, " +0000", 7);
}

void
clock_rfc3339(int64_t wall_ms, char out[CLOCK_TEXT_MAX])
{
	struct civil c;
	char *p = out;

	civil_from_ms(wall_ms, &c);
	p = put_digits(p, year_shown(c.year), 4);
	p = put_text(p, "-", 1);
	p = put_digits(p, c.month, 2);
	p = put_text(p, "-", 1);
	p = put_digits(p, c.day, 2);
	p = put_text(p, "T", 1);
	p = put_digits(p, c.hour, 2);
	p = put_text(p, ":", 1);
	p = put_digits(p, c.minute, 2);
	p = put_text(p, ":", 1);
	p = put_digits(p, c.second, 2);
	p = put_text(p, ".", 1);
	p = put_digits(p, c.ms, 3);
	(void)put_text(p, "Z", 2);
}

/* Exactly width digits at *s, at most max; advances *s. */
static bool
get_digits(const char **s, unsigned width, unsigned max, unsigned *out)
{
	unsigned value = 0;
	unsigned i;

	for (i = 0; i < width; i++) {
		char c = (*s)[i];

		if (c < '0' || c > '9') {
			return false;
		}
		value = value * 10 + (unsigned)(c - '0');
	}
	*s += width;
	*out = value;
	return value <= max;
}

static bool
get_char(const char **s, char upper, char lower)
{
	if (**s != upper && **s != lower) {
		return false;
	}
	(*s)++;
	return true;
}

static unsigned
days_in(unsigned year, unsigned month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30,
		                              31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap ? 1U : 0U);
}

/* "." 1*DIGIT, of which three count. */
static bool
get_fraction(const char **s, unsigned *ms)
{
	unsigned scale = 100;

	*ms = 0;
	if (**s != '.') {
		return true;
	}
	(*s)++;
	if (**s < '0' || **s > '9') {
		return false;
	}
	while (**s >= '0' && **s <= '9') {
		*ms += (unsigned)(**s - '0') * scale;
		scale /= 10;
		(*s)++;
	}
	return true;
}

/* "Z" or ("+" / "-") hour ":" minute, in minutes east of UTC. */
static bool
get_offset(const char **s, int *minutes)
{
	bool west = **s == '-';
	unsigned hour;
	unsigned minute;

	*minutes = 0;
	if (get_char(s, 'Z', 'z')) {
		return true;
	}
	if (!get_char(s, '+', '-') || !get_digits(s, 2, 23, &hour) ||
	    !get_char(s, ':', ':') || !get_digits(s, 2, 59, &minute)) {
		return false;
	}
	*minutes = (int)(hour * 60 + minute) * (west ? -1 : 1);
	return true;
}

/* RFC 3339 section 5.6; a leap second is the last of its minute. */
int
clock_parse_rfc3339(const char *s, int64_t *wall_ms_r)
{
	struct civil c = { 0 };
	unsigned year;
	int offset;
	int64_t seconds;

	if (!get_digits(&s, 4, 9999, &year) || !get_char(&s, '-', '-') ||
	    !get_digits(&s, 2, 12, &c.month) || c.month == 0 ||
	    !get_char(&s, '-', '-') ||
	    !get_digits(&s, 2, days_in(year, c.month), &c.day) || c.day == 0) {
		return -1;
	}
	if (!get_char(&s, 'T', 't') && !get_char(&s, ' ', ' ')) {
		return -1;
	}
	if (!get_digits(&s, 2, 23, &c.hour) || !get_char(&s, ':', ':') ||
	    !get_digits(&s, 2, 59, &c.minute) || !get_char(&s, ':', ':') ||
	    !get_digits(&s, 2, 60, &c.second) || !get_fraction(&s, &c.ms) ||
	    !get_offset(&s, &offset) || *s != '\0') {
		return -1;
	}

	if (c.second == 60) {
		c.second = 59;
	}
	seconds = days_from_civil(year, c.month, c.day) * 86400 +
	          (int64_t)c.hour * 3600 + (int64_t)c.minute * 60 + c.second -
	          (int64_t)offset * 60;
	*wall_ms_r = seconds * 1000 + c.ms;
	return 0;
}
