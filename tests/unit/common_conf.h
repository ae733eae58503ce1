#ifndef SORTIE_TESTS_UNIT_COMMON_CONF_H
#define SORTIE_TESTS_UNIT_COMMON_CONF_H

#include <stddef.h>
#include <sys/types.h>

#include "conf/schema.h"

/*
 * What the manual says of a setting in the line behind its name: kind, range,
 * default, whether a change needs a restart. Made from the schema, so that the
 * manual can be held to it.
 */
#define FACT_MAX 512

void common_conf_fact(const struct schema_setting *row, char out[FACT_MAX]);

/*
 * The paths ("routes[].name") that configuration text sets, found by its
 * brackets alone: independent of the loader. Calls back with each path and,
 * for a single value, its text without quotes ("" for lists and groups).
 */
void common_conf_paths(const char *text,
                       void (*on_path)(const char *path, const char *value,
                                       void *arg),
                       void *arg);

/* A new folder below TMPDIR, and its end with all that is in it. */
#define COMMON_CONF_PATH_MAX 512

void common_conf_dir_new(char out[COMMON_CONF_PATH_MAX]);
void common_conf_dir_remove(const char *dir);
/* Writes dir/name with this mode, folders on the way included. */
void common_conf_write(const char *dir, const char *name, const char *text,
                       mode_t mode);
/* Reads a whole file, malloc'ed and terminated. */
char *common_conf_read(const char *path);

/* Writes dir/name: a P-256 key with a certificate for host in cert_name
 * (NULL: the key alone); lifetime in days from now, may be negative. */
void common_conf_write_pair(const char *dir, const char *key_name,
                            const char *cert_name, const char *host, int days);
/* Writes a private key: "RSA" with bits, or "ED25519" or "EC". */
void common_conf_write_key(const char *dir, const char *name, const char *type,
                           size_t bits);

#endif
