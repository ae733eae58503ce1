#ifndef SORTIE_TESTS_UNIT_COMMON_DELIVER_H
#define SORTIE_TESTS_UNIT_COMMON_DELIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/deliver/deliver.h"
#include "daemon/deliver/payload_head.h"
#include "store/envelope.h"

/*
 * A deliverer on a reactor of its own, and scripted peers on loopback: servers
 * that are honest until a test's function says otherwise.
 *
 * Routes "r0" to "r3" have one host each, the peer of that number; "both" has
 * peers 0 and 1 in this order; "boxes" is a maildir.
 */

struct snapshot;
struct store;

#define PEERS 4

/* ---- peers ---------------------------------------------------------- */

struct peer {                /* one connection */
	unsigned number;     /* of the peer */
	unsigned connection; /* how many it had before this one */
	unsigned commands;   /* lines so far */
	unsigned messages;   /* accepted on this connection so far */
	bool tls;
	bool reset_after; /* set by a script: a reset right after the reply */
};

/* Instead of a reply; known by their addresses, the text is for messages. */
extern const char peer_acts[5][12];
#define PEER_CLOSE      peer_acts[0]
#define PEER_RESET      peer_acts[1]
#define PEER_STALL      peer_acts[2] /* says nothing more, reads on */
#define PEER_HALF_CLOSE peer_acts[3] /* ends its side, reads on */
#define PEER_SILENT     peer_acts[4] /* no reply to this one */

/* The reply to a line: text with CRLF, one of the above, or NULL for what an
 * honest server says. line is a command; "" for the greeting; "." for the end
 * of a content; "354" in the middle of a content, with every 64 KB of it. On
 * the peer's thread. */
typedef const char *(*peer_script)(struct peer *p, const char *line);

/* Lines behind the first of the EHLO reply, each with its code, for example
 * "250-PIPELINING\r\n250 SIZE\r\n". A reply to STARTTLS of "220" begins TLS. */
void peer_start(unsigned number, const char *capabilities, peer_script script);
/* From now on handshakes fail: garbage instead of TLS. */
void peer_break_tls(bool broken);
void peer_stop(unsigned number);
/* Chosen by the kernel, from the first call or peer_start until peer_stop;
 * who connects before it is started is refused. */
unsigned peer_port(unsigned number);

unsigned peer_connections(unsigned number);
unsigned peer_messages(unsigned number);

struct peer_message {
	char *sender;  /* MAIL's argument, as it came */
	char *rcpts;   /* RCPT's arguments, joined by "\n" */
	char *content; /* as it came: stuffed, without the final dot */
	size_t len;
	bool bdat;
	bool tls;
	unsigned connection;
};
const struct peer_message *peer_message(unsigned number, unsigned i);
/* Every command line that came, joined by "\n"; the caller frees it. */
char *peer_transcript(unsigned number);
/* The largest number of commands that stood in one read. */
unsigned peer_burst(unsigned number);

/* ---- the deliverer -------------------------------------------------- */

/* delivery: settings within "delivery", such as "data_timeout = \"1s\";". */
void world_start(const char *delivery);
void world_stop(void);
/* The configuration again; from the start it defines signatures: "first one"
 * is example.com/s1 (Ed25519), "second" example.org/s2 (RSA). Two layouts,
 * "sent" and "held" after what becomes of mail that they fail for. */
void world_reload(bool definitions);
struct snapshot *world_snapshot(void);
struct store *world_store(void);

/* What goes in front of the envelope's message to its first recipient, if it
 * had that layout and those signatures; NULL: none. */
const struct payload_head *world_head(struct envelope *env, const char *layout,
                                      const char *sign, enum render_form form);
void world_drain(void);
/* Of the jobs from now on (struct deliver_job); 0: no bound. */
void world_set_room(uint64_t room, uint64_t room_still);
/* On the reactor's thread. */
void world_counters(struct deliver_counters *out);
const char *world_maildir(void);

struct world_job {
	bool done;
	uint32_t n;
	struct deliver_result *results;
	struct tls_facts tls;
	char signed_by[200]; /* "": unsigned */
	struct deliver_stationery stationery;
};

/* An envelope with recipients r0@partner.test, ..., the content in memory,
 * flags set as receiving would. */
struct envelope *world_envelope(const char *route, uint32_t recipients,
                                const char *content, size_t len);
/* The same in the store, not in memory. */
void world_make_cold(struct envelope *env);
/* Takes the envelope. */
struct world_job *world_send(struct envelope *env);
/* Many at once, in one round. */
void world_send_all(struct envelope **envs, struct world_job **jobs, size_t n);
/* Waits for the result; fails after timeout. */
void world_wait(struct world_job *job);
bool world_is_done(struct world_job *job, int wait_ms);
void world_job_free(struct world_job **job);

/* Sends a small message to one recipient and waits. */
struct world_job *world_deliver(const char *route);
/* Checks the first result and frees the job. */
void world_expect(struct world_job *job, enum outcome_action action,
                  unsigned code, const char *enhanced);

#endif
