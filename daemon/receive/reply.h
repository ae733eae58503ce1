#ifndef SORTIE_DAEMON_RECEIVE_REPLY_H
#define SORTIE_DAEMON_RECEIVE_REPLY_H

/*
 * What the server says, and the log line of a refusal. Text is ours, never the
 * client's.
 */

struct command_fault;
struct conf_policy;
struct session;

/* A whole line with CRLF. */
void reply_line(struct session *s, const char *line);
void reply(struct session *s, unsigned code, const char *enhanced,
           const char *text);
/* The same, ending in " [ID]": accepts or refuses a message. */
void reply_id(struct session *s, unsigned code, const char *enhanced,
              const char *text);
/* A command that is unknown, malformed or out of place: counts as bad. */
void reply_bad(struct session *s, unsigned code, const char *enhanced,
               const char *text);
void reply_fault(struct session *s, const struct command_fault *f);
void reply_ehlo(struct session *s);
/* event=refused. rcpt NULL: none is concerned. */
void reply_log_refused(struct session *s, const char *reason, unsigned code,
                       const char *rcpt);
/* The same, and whose demand it was; policy NULL: no policy's. */
void reply_log_refused_by(struct session *s, const char *reason, unsigned code,
                          const char *rcpt, const struct conf_policy *policy);

#endif
