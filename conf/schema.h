#ifndef SORTIE_CONF_SCHEMA_H
#define SORTIE_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The one list of settings. A test compares sortie.conf(5) and the example
 * with it, so a setting cannot exist in one of them only.
 */

enum schema_type {
	SCHEMA_STRING = 0,
	SCHEMA_DOMAIN, /* a domain name, normalised */
	SCHEMA_PATH,   /* made absolute against the file's folder */
	SCHEMA_INT,
	SCHEMA_BOOL,
	SCHEMA_SIZE,     /* "50M" */
	SCHEMA_DURATION, /* "4h" */
	SCHEMA_RATE,     /* "60/1m", "off" */
	SCHEMA_ENUM,     /* one of a list of words, kept as its position */
	SCHEMA_WORD,     /* one of a list of words, kept as text */
	SCHEMA_LIST,     /* parsed by code of its own */
	SCHEMA_GROUP,
};

struct schema_setting {
	const char *path; /* "gateway.hostname"; list items: "routes[].name";
	                     fields of every policy: "policies.*[].from" */
	enum schema_type type;
	const char *fallback; /* default as text; NULL: none; "" allowed for
	                         strings; elements of a SCHEMA_LIST by "|" */
	int64_t min;          /* value; a string's length has only a max */
	int64_t max;
	const char *words; /* SCHEMA_ENUM, SCHEMA_WORD: "temporary|permanent";
	                      SCHEMA_LIST: the field that a bare string in
	                      place of an item's group stands for, or NULL */
	bool required;
	bool reloadable;
	size_t offset; /* where the value lies in struct conf or the item's */
	size_t size;   /* 0: parsed by code of its own */
	const char *help; /* one line */
};

const struct schema_setting *schema_list(size_t *n_r);
/* "policies.stationery[].from" finds the row of every policy. */
const struct schema_setting *schema_find(const char *path);
/* Is the row one level below prefix ("gateway", "routes[]")? The leaf name,
 * or NULL. */
const char *schema_leaf(const struct schema_setting *s, const char *prefix);
/* The name below prefix that was probably meant, or NULL. */
const char *schema_suggest(const char *prefix, const char *name);

/* "200M" to octets, "96h" to milliseconds; -1 when it is neither. A size may
 * go without a unit (octets), a duration may not. */
int schema_parse_size(const char *s, uint64_t *out_r);
int schema_parse_duration(const char *s, int64_t *ms_r);
/* "60/1m", or "60/m": so many in each duration of at most a day; "off": as
 * many as come. -1 when it is neither. */
struct conf_rate;
int schema_parse_rate(const char *s, struct conf_rate *out_r);

#endif
