#include <stdio.h>
#include <string.h>

#include "conf/load_private.h"

/*
 * The shape of the file against the schema: every name is known and every
 * value is of the kind that its setting takes. Values themselves are judged
 * where they are used.
 */

static const char *
kind_of(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_GROUP:
		return "a group { }";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "a number";
	case CONFIG_TYPE_FLOAT:
		return "a fraction";
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	default:
		return "a list ( )";
	}
}

static bool
is_list(const config_setting_t *s)
{
	return config_setting_is_list(s) || config_setting_is_array(s);
}

static void check_group(struct loader *l, const config_setting_t *group,
                        const char *prefix);

static bool
has_items(const char *prefix)
{
	size_t n = 0;
	const struct schema_setting *list = schema_list(&n);

	for (size_t i = 0; i < n; i++) {
		if (schema_leaf(&list[i], prefix) != NULL) {
			return true;
		}
	}
	return false;
}

static void
check_item(struct loader *l, const config_setting_t *item,
           const struct schema_setting *row, const char *path)
{
	char prefix[LOAD_PATH_MAX + 2];

	(void)snprintf(prefix, sizeof(prefix), "%s[]", path);
	if (!has_items(prefix)) {
		if (config_setting_type(item) != CONFIG_TYPE_STRING) {
			load_error(l, item, "%s: expected strings, found %s",
			           path, kind_of(item));
		}
		return;
	}
	if (config_setting_is_group(item)) {
		check_group(l, item, prefix);
	} else if (row->words == NULL ||
	           config_setting_type(item) != CONFIG_TYPE_STRING) {
		load_error(l, item, "%s: expected groups { }, found %s", path,
		           kind_of(item));
	}
}

static bool
type_fits(const config_setting_t *s, enum schema_type type)
{
	switch (type) {
	case SCHEMA_STRING:
	case SCHEMA_DOMAIN:
	case SCHEMA_PATH:
	case SCHEMA_SIZE:
	case SCHEMA_DURATION:
	case SCHEMA_RATE:
	case SCHEMA_ENUM:
	case SCHEMA_WORD:
		return config_setting_type(s) == CONFIG_TYPE_STRING;
	case SCHEMA_INT:
		return config_setting_type(s) == CONFIG_TYPE_INT ||
		       config_setting_type(s) == CONFIG_TYPE_INT64;
	case SCHEMA_BOOL:
		return config_setting_type(s) == CONFIG_TYPE_BOOL;
	case SCHEMA_GROUP:
		return config_setting_is_group(s) != 0;
	case SCHEMA_LIST:
		return true; /* its elements are checked */
	}
	return false;
}

static const char *
expected(enum schema_type type)
{
	switch (type) {
	case SCHEMA_STRING:
	case SCHEMA_DOMAIN:
	case SCHEMA_PATH:
	case SCHEMA_ENUM:
	case SCHEMA_WORD:
		return "a string";
	case SCHEMA_SIZE:
		return "a size in quotes, such as \"50M\"";
	case SCHEMA_DURATION:
		return "a duration in quotes, such as \"4h\"";
	case SCHEMA_RATE:
		return "a rate in quotes, such as \"60/1m\"";
	case SCHEMA_INT:
		return "a whole number";
	case SCHEMA_BOOL:
		return "true or false";
	case SCHEMA_GROUP:
		return "a group { }";
	case SCHEMA_LIST:
		return "a list ( )";
	}
	return "";
}

static void
check_setting(struct loader *l, const config_setting_t *s, const char *path)
{
	const struct schema_setting *row = schema_find(path);

	if (!type_fits(s, row->type)) {
		load_error(l, s, "%s: expected %s, found %s", path,
		           expected(row->type), kind_of(s));
		return;
	}
	if (row->type == SCHEMA_GROUP) {
		check_group(l, s, path);
	} else if (row->type == SCHEMA_LIST) {
		size_t n = load_list_n(s);
		for (size_t i = 0; i < n; i++) {
			check_item(l, load_list_at(s, i), row, path);
		}
	}
}

static void
check_group(struct loader *l, const config_setting_t *group, const char *prefix)
{
	int n = config_setting_length(group);

	for (int i = 0; i < n; i++) {
		const config_setting_t *s =
			config_setting_get_elem(group, (unsigned)i);
		const char *name = config_setting_name(s);
		char path[LOAD_PATH_MAX];
		const char *hint = NULL;
		int len = snprintf(path, sizeof(path), "%s%s%s", prefix,
		                   *prefix == '\0' ? "" : ".", name);

		if (len > 0 && (size_t)len < sizeof(path) &&
		    schema_find(path) != NULL &&
		    schema_leaf(schema_find(path), prefix) != NULL) {
			check_setting(l, s, path);
			continue;
		}
		hint = schema_suggest(prefix, name);
		load_error(l, s, "unknown setting %s in %s%s%s%s",
		           load_quote(l, name),
		           *prefix == '\0' ? "the file" : prefix,
		           hint == NULL ? "" : "; did you mean \"",
		           hint == NULL ? "" : hint, hint == NULL ? "" : "\"?");
	}
}

void
load_check_keys(struct loader *l)
{
	check_group(l, config_root_setting(&l->cfg), "");
}

size_t
load_list_n(const config_setting_t *s)
{
	if (s == NULL) {
		return 0;
	}
	return is_list(s) ? (size_t)config_setting_length(s) : 1;
}

const config_setting_t *
load_list_at(const config_setting_t *s, size_t i)
{
	return is_list(s) ? config_setting_get_elem(s, (unsigned)i) : s;
}

const char *
load_list_text(const config_setting_t *s, size_t i)
{
	return config_setting_get_string(load_list_at(s, i));
}
