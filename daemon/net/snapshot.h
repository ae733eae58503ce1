#ifndef SORTIE_DAEMON_NET_SNAPSHOT_H
#define SORTIE_DAEMON_NET_SNAPSHOT_H

#include "base/err.h"
#include "daemon/net/tls.h"

/*
 * A configuration together with what was built from it: what one transaction
 * or delivery sees from begin to end, whatever a reload does meanwhile.
 * Immutable, reference-counted, any thread.
 */

struct conf;
struct dkim_keyring;
struct select;

struct snapshot {
	_Atomic unsigned refs;
	struct conf *conf;
	struct select *select; /* the policies of conf */
	struct tls_contexts tls;
	struct dkim_keyring *keys; /* NULL: conf has no definitions */
};

/* Takes the caller's reference to conf, also on failure. NULL: *e says why. */
struct snapshot *snapshot_new(struct conf *conf, struct err *e);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot **s);

#endif
