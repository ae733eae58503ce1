#ifndef SORTIE_TESTS_UNIT_COMMON_CONF_LOAD_H
#define SORTIE_TESTS_UNIT_COMMON_CONF_LOAD_H

#include <stdbool.h>

#include "conf/load.h"
#include "conf/policy_private.h"
#include "tests/unit/common_conf.h"

/*
 * A folder with files for a configuration to name, and loading from text in
 * it: gw.pem and gw.key (P-256), dkim.key (Ed25519), dkim512.key and
 * dkim1024.key (RSA), open.key and group.key (wrong modes), layout.txt, users.
 */

#define GATEWAY "gateway = { hostname = \"gw1.example.net\"; };\n"
#define SOURCES "authorized_outbound = ( \"203.0.113.0/28\" );\n"
#define DOMAINS "internal_domains = ( \"example.com\" );\n"
#define BASE    GATEWAY SOURCES DOMAINS /* lines 1 to 3 */
/* With TLS: lines 1 to 4. */
#define TLS                                                                    \
	"gateway = { hostname = \"gw1.example.net\"; auth_file = \"users\";\n" \
	"  certificate = \"gw.pem\"; key = \"gw.key\"; };\n" DOMAINS "\n"

extern char common_conf_dir[COMMON_CONF_PATH_MAX];
extern struct conf_findings common_conf_findings; /* of the last load */
extern bool common_conf_built[CONF_POLICY_TYPES]; /* all true at first */
/* A crypt(3) line of users. */
extern const char common_conf_hash[];

int common_conf_set_up(void **state);
int common_conf_tear_down(void **state);

/* Writes text to sortie.conf in the folder and loads that. */
struct conf *common_conf_load(const char *text);
/* The same from a format; the test fails, with the findings, when that does
 * not load. */
struct conf *common_conf_loads(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
void common_conf_print(void);
/* Is there a finding of this kind, line and fragment? line 0: any line. */
bool common_conf_has(bool warning, unsigned line, const char *fragment);

#endif
