#ifndef SORTIE_CLI_COMMAND_H
#define SORTIE_CLI_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

/*
 * The commands; most of them ask a running daemon. argv[0] is the command's
 * name; c holds what stood before it, and takes the same options behind it.
 * Each returns the exit status.
 */

enum command_exit {
	COMMAND_GOOD = 0,
	COMMAND_FINDING = 1,
	COMMAND_USAGE = 2,
};

struct command {
	const char *file;        /* -c; NULL: the default */
	const char *socket_path; /* -s; NULL: api_socket of the file */
	bool json;
};

#define COMMAND_DEFAULT_FILE   "/etc/sortie/sortie.conf"
#define COMMAND_DEFAULT_SOCKET "/run/sortie/api.sock"

int command_reload(struct command *c, int argc, char **argv);
int command_status(struct command *c, int argc, char **argv);
int command_queue(struct command *c, int argc, char **argv);
int command_tls_results(struct command *c, int argc, char **argv);
int command_senders(struct command *c, int argc, char **argv);
int command_explain(struct command *c, int argc, char **argv);
int command_tls(struct command *c, int argc, char **argv);
int command_dns(struct command *c, int argc, char **argv);
int command_dkim(struct command *c, int argc, char **argv);
int command_stationery(struct command *c, int argc, char **argv);

/* ---- shared ------------------------------------------------------------ */

/* Takes the option at argv[*i] when it is -c, -s or --json, with *i moved to
 * its last word: true. */
bool command_option(struct command *c, int argc, char **argv, int *i);

/* "--name VALUE" or "--name=VALUE" at argv[*i]: the value, with *i moved;
 * else NULL. */
const char *command_value(const char *name, int argc, char **argv, int *i);

/* Tells on standard error; returns COMMAND_USAGE. */
int command_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Asks the daemon. An answer of 200 is handed over (the caller json_decrefs
 * it), or printed as it came with --json, and COMMAND_GOOD returned. Anything
 * else is told on standard error and gives COMMAND_FINDING.
 */
int command_ask(const struct command *c, bool post, const char *target,
                json_t **answer_r);

/* The same for a POST with a body. An answer that tells of an error is handed
 * over as well, when it is JSON; else *answer_r is NULL. */
int command_send(const struct command *c, const char *target, const char *body,
                 size_t len, json_t **answer_r);

/* Peer text on a terminal: control characters become '?'. */
void command_print_text(const char *s, int width);

#endif
