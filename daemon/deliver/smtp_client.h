#ifndef SORTIE_DAEMON_DELIVER_SMTP_CLIENT_H
#define SORTIE_DAEMON_DELIVER_SMTP_CLIENT_H

#include <stdbool.h>

/*
 * A session with one host, from connecting to QUIT. It belongs to its
 * destination, is in its lists, takes deliveries from it and tells it how the
 * host does. It frees itself once it has ended; until the end of the round its
 * pointer may still be looked at.
 */

#define SMTP_CLIENT_TRIES_MAX 5 /* hosts in one attempt at one delivery */

struct deliver_result;
struct delivery;
struct destination;
struct host;
struct smtp_client;

bool smtp_client_is_ready(const struct smtp_client *s);
struct host *smtp_client_host(const struct smtp_client *s);
struct smtp_client *smtp_client_next(const struct smtp_client *s);
/* The one behind it in the ready list; the first when it is not there. */
struct smtp_client *smtp_client_next_ready(const struct smtp_client *s);
void smtp_client_start(struct destination *d, struct host *h);
/* Takes from the waiting list what it can. */
void smtp_client_feed(struct smtp_client *s);
/* QUIT when nothing is under way, after that otherwise. */
void smtp_client_retire(struct smtp_client *s);
/* At once; its deliveries go back to the waiting list. */
void smtp_client_abort(struct smtp_client *s);
void smtp_client_facts(const struct smtp_client *s, struct delivery *dl,
                       struct deliver_result *r);

#endif
