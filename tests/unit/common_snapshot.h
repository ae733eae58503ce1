#ifndef SORTIE_TESTS_UNIT_COMMON_SNAPSHOT_H
#define SORTIE_TESTS_UNIT_COMMON_SNAPSHOT_H

/*
 * Configurations for reactors, from text. Needs no test framework; ends the
 * program when the machine fails.
 */

struct snapshot;

/* Writes the text to sortie.conf in the folder and loads that. Ends the
 * program, with the findings on standard error, when it is refused. */
struct snapshot *common_snapshot(const char *dir, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A file "logins" for gateway.auth_file: "user" with the password "secret",
 * hashed cheaply. */
void common_snapshot_write_logins(const char *dir);

#endif
