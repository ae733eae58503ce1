#ifndef SORTIE_DAEMON_NET_SNAPSHOT_H
#define SORTIE_DAEMON_NET_SNAPSHOT_H

#include "base/err.h"
#include "daemon/net/directory_file.h"
#include "daemon/net/tls.h"

/*
 * A configuration together with what was built from it: what one transaction
 * or delivery sees from begin to end, whatever a reload does meanwhile.
 * Immutable, reference-counted, any thread.
 */

struct conf;
struct directory;
struct dkim_keyring;
struct layouts;
struct select;

struct snapshot {
	_Atomic unsigned refs;
	struct conf *conf;
	struct select *select; /* the policies of conf */
	struct tls_contexts tls;
	struct dkim_keyring *keys; /* NULL: conf has no definitions */
	struct layouts *layouts;
	struct directory *directory; /* a reference; NULL: conf names none */
	struct directory_stamp stamp;
	/* A reference: owner of all but the directory; NULL: this is. */
	struct snapshot *base;
};

/* Takes the caller's reference to conf, also on failure. NULL: *e says why. */
struct snapshot *snapshot_new(struct conf *conf, struct err *e);
/* The same with another directory (a reference, which it takes). */
struct snapshot *snapshot_with_directory(struct snapshot *s,
                                         struct directory *d,
                                         const struct directory_stamp *stamp);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot **s);

#endif
