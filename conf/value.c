#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/arena.h"
#include "conf/load_private.h"

/*
 * Single values: from the file or the default of the schema, judged against
 * the range of the schema, put where the schema says. A value of the wrong
 * kind is left to keys.c, which has named it already.
 */

const config_setting_t *
load_member(const config_setting_t *group, const char *name)
{
	if (group == NULL || !config_setting_is_group(group)) {
		return NULL;
	}
	return config_setting_get_member(group, name);
}

const char *
load_text(const config_setting_t *group, const char *name)
{
	const config_setting_t *s = load_member(group, name);

	return s == NULL ? NULL : config_setting_get_string(s);
}

const char *
load_path(struct loader *l, const char *path)
{
	if (*path == '/') {
		return arena_strdup(l->c->arena, path);
	}
	return arena_printf(l->c->arena, "%s/%s", l->dir, path);
}

const char *
load_words(struct loader *l, const char *words)
{
	char *out = arena_strdup(l->c->arena, "");

	while (*words != '\0') {
		size_t n = strcspn(words, "|");
		out = arena_printf(l->c->arena, "%s%s\"%.*s\"", out,
		                   *out == '\0' ? "" : ", ", (int)n, words);
		words += n + (words[n] == '|');
	}
	return out;
}

/* Position of word in "a|b|c", -1 when it is not there. */
static int
word_index(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (int i = 0; *words != '\0'; i++) {
		size_t n = strcspn(words, "|");
		if (n == len && strncmp(words, word, n) == 0) {
			return i;
		}
		words += n + (words[n] == '|');
	}
	return -1;
}

/* Octets of one well-formed UTF-8 character (RFC 3629) at s, 0 for none. */
static size_t
utf8_len(const unsigned char *s)
{
	size_t n = 0;
	uint32_t value = 0;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	if (s[0] < 0x80) {
		return 1;
	}
	n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4) {
		return 0;
	}
	value = s[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			return 0;
		}
		value = value << 6 | (s[i] & 0x3fU);
	}
	if (value < least[n] || value > 0x10ffff ||
	    (value >= 0xd800 && value <= 0xdfff)) {
		return 0;
	}
	return n;
}

/* What is wrong with a text, NULL when nothing is: it may reach headers, logs
 * and JSON. */
static const char *
text_fault(const char *text, int64_t max)
{
	const unsigned char *p = (const unsigned char *)text;

	if (strlen(text) > (size_t)max) {
		return "is too long";
	}
	while (*p != '\0') {
		size_t n = utf8_len(p);
		if (n == 0) {
			return "is not valid UTF-8";
		}
		if (*p < 0x20 || *p == 0x7f) {
			return "has a control character in it";
		}
		p += n;
	}
	return NULL;
}

const config_setting_t *
load_item(const config_setting_t *item, const char *name)
{
	if (config_setting_type(item) == CONFIG_TYPE_STRING) {
		return item;
	}
	return load_member(item, name);
}

/* The field of an item's group, or the bare string that stands for it. */
static const config_setting_t *
find_field(const config_setting_t *group, const char *prefix, const char *leaf)
{
	char list[LOAD_PATH_MAX];
	size_t len = strlen(prefix);
	const struct schema_setting *row = NULL;

	if (group == NULL || config_setting_type(group) != CONFIG_TYPE_STRING) {
		return load_member(group, leaf);
	}
	if (len < 2 || len - 2 >= sizeof(list)) {
		return NULL;
	}
	memcpy(list, prefix, len - 2); /* without "[]" */
	list[len - 2] = '\0';
	row = schema_find(list);
	if (row == NULL || row->words == NULL ||
	    strcmp(row->words, leaf) != 0) {
		return NULL;
	}
	return group;
}

/* One field being filled. */
struct field {
	const struct schema_setting *row;
	const config_setting_t *s; /* place for findings, may be NULL */
	const char *path;
	void *to;
};

static void
put_number(const struct field *f, uint64_t value)
{
	uint16_t v16 = (uint16_t)value;
	uint32_t v32 = (uint32_t)value;

	if (f->row->size == sizeof(v16)) {
		memcpy(f->to, &v16, sizeof(v16));
	} else if (f->row->size == sizeof(v32)) {
		memcpy(f->to, &v32, sizeof(v32));
	} else {
		memcpy(f->to, &value, sizeof(value));
	}
}

static void
put_text(const struct field *f, const char *text)
{
	memcpy(f->to, &text, sizeof(text));
}

static void
set_domain(struct loader *l, const struct field *f, const char *text)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct err e = { 0 };

	if (address_domain_normalise(text, strlen(text), name, &e) != 0) {
		load_error(l, f->s, "%s: %s: %s", f->path, load_quote(l, text),
		           e.text);
		return;
	}
	if (strlen(name) > (size_t)f->row->max) {
		load_error(l, f->s, "%s: %s is too long", f->path,
		           load_quote(l, text));
		return;
	}
	put_text(f, arena_strdup(l->c->arena, name));
}

static void
set_size(struct loader *l, const struct field *f, const char *text)
{
	uint64_t value = 0;

	if (schema_parse_size(text, &value) != 0) {
		load_error(l, f->s,
		           "%s: %s is no size; write digits and K, M or G, "
		           "such as \"50M\"",
		           f->path, load_quote(l, text));
	} else if (value < (uint64_t)f->row->min ||
	           value > (uint64_t)f->row->max) {
		load_error(l, f->s,
		           "%s: %s is out of range (%lld to %lld octets)",
		           f->path, load_quote(l, text), (long long)f->row->min,
		           (long long)f->row->max);
	} else {
		put_number(f, value);
	}
}

static void
set_duration(struct loader *l, const struct field *f, const char *text)
{
	int64_t value = 0;

	if (schema_parse_duration(text, &value) != 0) {
		load_error(
			l, f->s,
			"%s: %s is no duration; write digits and s, m, h or d, "
			"such as \"4h\"",
			f->path, load_quote(l, text));
	} else if (value < f->row->min || value > f->row->max) {
		load_error(l, f->s,
		           "%s: %s is out of range (%lld to %lld seconds)",
		           f->path, load_quote(l, text),
		           (long long)(f->row->min / 1000),
		           (long long)(f->row->max / 1000));
	} else {
		put_number(f, (uint64_t)value);
	}
}

static void
set_rate(struct loader *l, const struct field *f, const char *text)
{
	struct conf_rate rate = { 0 };

	if (schema_parse_rate(text, &rate) != 0) {
		load_error(l, f->s,
		           "%s: %s is no rate; write a number from 1 to "
		           "1000000 and a duration up to 1d, such as "
		           "\"60/1m\", or \"off\"",
		           f->path, load_quote(l, text));
		return;
	}
	memcpy(f->to, &rate, sizeof(rate));
}

static void
set_word(struct loader *l, const struct field *f, const char *text)
{
	int i = word_index(f->row->words, text);

	if (i < 0) {
		load_error(l, f->s, "%s: %s is not one of %s", f->path,
		           load_quote(l, text), load_words(l, f->row->words));
	} else if (f->row->type == SCHEMA_ENUM) {
		put_number(f, (uint64_t)i);
	} else {
		put_text(f, arena_strdup(l->c->arena, text));
	}
}

static void
set_text(struct loader *l, const struct field *f, const char *text)
{
	const struct schema_setting *row = f->row;
	const char *fault = NULL;
	bool may_be_empty = row->fallback != NULL && *row->fallback == '\0';

	if (*text == '\0' && !may_be_empty) {
		load_error(l, f->s, "%s: is empty%s", f->path,
		           row->required ? "" : "; leave it out instead");
		return;
	}
	if (row->type == SCHEMA_PATH) {
		text = load_path(l, text);
	}
	fault = text_fault(text, row->max);
	if (fault != NULL) {
		load_error(l, f->s, "%s: %s", f->path, fault);
		return;
	}
	if (row->type == SCHEMA_DOMAIN) {
		set_domain(l, f, text);
	} else {
		put_text(f, arena_strdup(l->c->arena, text));
	}
}

static void
set_int(struct loader *l, const struct field *f, int64_t value)
{
	if (value < f->row->min || value > f->row->max) {
		load_error(l, f->s, "%s: %lld is out of range (%lld to %lld)",
		           f->path, (long long)value, (long long)f->row->min,
		           (long long)f->row->max);
		return;
	}
	put_number(f, (uint64_t)value);
}

static void
set_bool(const struct field *f, bool value)
{
	memcpy(f->to, &value, sizeof(value));
}

/* From text: a string of the file, or the default of any type. */
static void
set_from_text(struct loader *l, const struct field *f, const char *text)
{
	uint64_t number = 0;

	switch (f->row->type) {
	case SCHEMA_STRING:
	case SCHEMA_DOMAIN:
	case SCHEMA_PATH:
		set_text(l, f, text);
		break;
	case SCHEMA_SIZE:
		set_size(l, f, text);
		break;
	case SCHEMA_DURATION:
		set_duration(l, f, text);
		break;
	case SCHEMA_RATE:
		set_rate(l, f, text);
		break;
	case SCHEMA_ENUM:
	case SCHEMA_WORD:
		set_word(l, f, text);
		break;
	case SCHEMA_INT:
		(void)schema_parse_size(text, &number); /* ours: digits */
		put_number(f, number);
		break;
	case SCHEMA_BOOL:
		set_bool(f, strcmp(text, "true") == 0);
		break;
	case SCHEMA_LIST:
	case SCHEMA_GROUP:
		break;
	}
}

static void
set_from_file(struct loader *l, const struct field *f)
{
	switch (config_setting_type(f->s)) {
	case CONFIG_TYPE_STRING:
		if (f->row->type != SCHEMA_INT && f->row->type != SCHEMA_BOOL) {
			set_from_text(l, f, config_setting_get_string(f->s));
		}
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		if (f->row->type == SCHEMA_INT) {
			set_int(l, f, config_setting_get_int64(f->s));
		}
		break;
	case CONFIG_TYPE_BOOL:
		if (f->row->type == SCHEMA_BOOL) {
			set_bool(f, config_setting_get_bool(f->s) != 0);
		}
		break;
	default:
		break; /* keys.c has said so */
	}
}

void
load_fields(struct loader *l, const config_setting_t *group,
            const config_setting_t *where, const char *prefix, void *base)
{
	size_t n = 0;
	const struct schema_setting *list = schema_list(&n);

	if (group != NULL && !config_setting_is_group(group) &&
	    config_setting_type(group) != CONFIG_TYPE_STRING) {
		return; /* keys.c has said so */
	}
	for (size_t i = 0; i < n; i++) {
		const struct schema_setting *row = &list[i];
		const char *leaf = schema_leaf(row, prefix);
		char path[LOAD_PATH_MAX];
		struct field f = { .row = row };

		if (leaf == NULL) {
			continue;
		}
		(void)snprintf(path, sizeof(path), "%s%s%s", prefix,
		               *prefix == '\0' ? "" : ".", leaf);
		f.path = path;
		f.s = find_field(group, prefix, leaf);
		f.to = (char *)base + row->offset;
		if (f.s == NULL && row->required) {
			load_error(l, where, "%s is missing", path);
		} else if (row->size == 0) {
			continue;
		} else if (f.s != NULL) {
			set_from_file(l, &f);
		} else if (row->fallback != NULL) {
			f.s = where;
			set_from_text(l, &f, row->fallback);
		}
	}
}

const char *
load_fallback(struct loader *l, const char *path, size_t i)
{
	const char *words = schema_find(path)->fallback;

	while (i > 0 && *words != '\0') {
		size_t n = strcspn(words, "|");
		words += n + (words[n] == '|');
		i--;
	}
	if (*words == '\0') {
		return NULL;
	}
	return arena_strndup(l->c->arena, words, strcspn(words, "|"));
}

struct net_prefix *
load_networks(struct loader *l, const config_setting_t *s, size_t *n_r)
{
	size_t n = load_list_n(s);
	struct net_prefix *list = NULL;
	size_t used = 0;

	*n_r = 0;
	if (n == 0) {
		return NULL;
	}
	list = arena_alloc(l->c->arena, n * sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		const char *text = load_list_text(s, i);
		struct err e = { 0 };
		if (text == NULL) {
			continue;
		}
		if (net_prefix_parse(text, &list[used], &e) != 0) {
			load_error(l, load_list_at(s, i), "%s: %s",
			           config_setting_name(s), e.text);
			continue;
		}
		used++;
	}
	*n_r = used;
	return list;
}
