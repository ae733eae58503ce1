#ifndef SORTIE_CONF_LOAD_PRIVATE_H
#define SORTIE_CONF_LOAD_PRIVATE_H

#include <libconfig.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "conf/index.h"
#include "conf/load.h"
#include "conf/policy_private.h"
#include "conf/schema.h"

/*
 * What the parts of the loader share. A finding never stops the load at once:
 * each part goes on with what it has, so that one pass reports all it can; the
 * snapshot is thrown away when any finding is an error.
 */

#define LOAD_FILE_MAX  (10 * 1024 * 1024) /* octets, included files counted */
#define LOAD_FILES_MAX 1000               /* the file and all inclusions */
#define LOAD_PATH_MAX  128                /* of a setting */
#define TEXT_SCOPE_MAX 512                /* a scope as text */

struct loader {
	struct conf *c;          /* under construction */
	struct conf_findings *f; /* borrowed */
	const char *file;        /* as the caller named it, for findings */
	const char *dir;         /* absolute folder of the file */
	const bool *built;       /* by enum conf_policy_type */
	const char *ca_default;  /* a ca_file that may be missing */
	config_t cfg;
};

/* finding.c. The setting gives file and line; NULL: line 1 of the file. */
void load_error(struct loader *l, const config_setting_t *s, const char *fmt,
                ...) __attribute__((format(printf, 3, 4)));
void load_warn(struct loader *l, const config_setting_t *s, const char *fmt,
               ...) __attribute__((format(printf, 3, 4)));
void load_error_at(struct loader *l, const char *file, unsigned line,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Is any printable text fit for a message: "..." cut at 60 octets, control
 * octets as "?"; the answer lives in the snapshot's arena. */
const char *load_quote(struct loader *l, const char *text);

/*
 * read.c: reads the file after a look at what libconfig does badly or not at
 * all: size, permissions, NUL, inclusions out of the folder or in a loop,
 * integers that it would cut, nesting. 0 with l->cfg filled, or -1 with
 * findings. l->cfg must be initialised.
 */
int load_read(struct loader *l);

/* keys.c: every name in the tree is in the schema and has its type. */
void load_check_keys(struct loader *l);

/* value.c */
/* All fields of the schema below prefix that the schema itself can place,
 * from group (NULL: not in the file, where stands for its line). */
void load_fields(struct loader *l, const config_setting_t *group,
                 const config_setting_t *where, const char *prefix, void *base);
/* Member as text, NULL when it is missing or no string. */
const char *load_text(const config_setting_t *group, const char *name);
const config_setting_t *load_member(const config_setting_t *group,
                                    const char *name);
/* The member of an item, or the item itself when it is a bare string. */
const config_setting_t *load_item(const config_setting_t *item,
                                  const char *name);
/* A path of the configuration made absolute. */
const char *load_path(struct loader *l, const char *path);

/* Elements of a list; anything else is a list of itself, NULL is empty. */
size_t load_list_n(const config_setting_t *s);
const config_setting_t *load_list_at(const config_setting_t *s, size_t i);
/* Element i as text: of a list of strings, NULL when it is no string. */
const char *load_list_text(const config_setting_t *s, size_t i);
/* Element i of the default of a list, NULL behind the last. */
const char *load_fallback(struct loader *l, const char *path, size_t i);
/* Networks; a wrong one is a finding and left out. */
struct net_prefix *load_networks(struct loader *l, const config_setting_t *s,
                                 size_t *n_r);
/* The words "a|b" as "a, b" for messages. */
const char *load_words(struct loader *l, const char *words);

/* lists.c: an address with its domain normalised, NULL when it is none. */
const char *load_address(struct loader *l, const char *text, struct err *e);

/* record.c: a resource record of local_data, by grammar. */
int load_check_record(const char *text, struct err *e);

/* gateway.c, lists.c, layout.c, policy.c: the parts of the file. */
void load_gateway(struct loader *l, const config_setting_t *root);
void load_resolver(struct loader *l, const config_setting_t *root);
void load_delivery(struct loader *l, const config_setting_t *root);
void load_directory(struct loader *l, const config_setting_t *root);
void load_tls_reports(struct loader *l, const config_setting_t *root);
void load_sources(struct loader *l, const config_setting_t *root);
void load_routes(struct loader *l, const config_setting_t *root);
void load_domains(struct loader *l, const config_setting_t *root);
void load_groups(struct loader *l, const config_setting_t *root);
void load_definitions(struct loader *l, const config_setting_t *root);
void load_policies(struct loader *l, const config_setting_t *root);

/* layout.c: the next item of c->layouts, with all files that it names. */
void load_layout(struct loader *l, const config_setting_t *item);

/* policy_tls.c: what load_fields cannot place, and combinations without
 * sense. */
void load_secure_delivery(struct loader *l, const config_setting_t *item,
                          struct conf_policy *p);
void load_secure_receipt(struct loader *l, const config_setting_t *item,
                         const struct conf_policy *p);

/* shadow.c: warns of policies that can never win, and of those that only their
 * order in the file decides between; items[i] is where policy i stands. */
void load_check_shadows(struct loader *l, const config_setting_t *const *items);

/* sign.c: warns of dns_authentication policies that sign nothing or whose
 * signatures do not align (DMARC), and of internal domains that none signs. */
void load_check_signing(struct loader *l, const config_setting_t *root,
                        const config_setting_t *const *items);
/* The same file: of dns_authentication_inbound policies that hold for no mail
 * from outside, and of stationery policies that hold for none from inside. */
void load_check_inbound(struct loader *l, const config_setting_t *const *items);
void load_check_stationery(struct loader *l,
                           const config_setting_t *const *items);

/* secret.c: files that the configuration names. Each adds findings at s. */
void load_check_pair(struct loader *l, const config_setting_t *s);
/* A certificate to show as a client, and its key. */
void load_check_identity(struct loader *l, const config_setting_t *certificate,
                         const config_setting_t *key,
                         const char *certificate_path, const char *key_path);
/* It holds a certificate; for load_check_ca the default file may be missing,
 * which is a warning. */
void load_check_ca_file(struct loader *l, const config_setting_t *s,
                        const char *path);
void load_check_ca(struct loader *l, const config_setting_t *s,
                   const char *name, const char *path);
void load_check_dkim_key(struct loader *l, const config_setting_t *s,
                         const char *path);
void load_check_auth_file(struct loader *l, const config_setting_t *s);
void load_check_text_file(struct loader *l, const config_setting_t *s,
                          const char *path);

#endif
