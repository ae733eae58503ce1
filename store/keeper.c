#include <sqlite3.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/thread.h"
#include "store/store_private.h"

/*
 * The second thread of the store. It copies the write-ahead log into the data
 * base while the committer goes on appending, and removes files (freeing a
 * large one takes the file system milliseconds). It decides nothing. Its
 * connection also keeps the log's state alive while the committer changes its
 * own (see index_reopen).
 */

struct keeper {
	struct store *s;
	sqlite3 *db;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
	bool checkpoint;
	bool checkpointed;
	uint64_t *dead;
	size_t dead_n;
	size_t dead_cap;
};

static void
checkpoint(struct keeper *k)
{
	int rc = sqlite3_wal_checkpoint_v2(
		k->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

	if (rc == SQLITE_IOERR || rc == SQLITE_CORRUPT) {
		struct err e;

		index_fail(k->db, "checkpoint", &e);
		store_fault(k->s, e.text);
	}
	pthread_mutex_lock(&k->lock);
	k->checkpointed = rc == SQLITE_OK;
	pthread_mutex_unlock(&k->lock);
}

static void *
run(void *arg)
{
	struct keeper *k = arg;

	store_prepare(k->s); /* the next segment, while the first one fills */
	pthread_mutex_lock(&k->lock);
	while (true) {
		if (k->dead_n > 0) {
			uint64_t number = k->dead[--k->dead_n];

			pthread_mutex_unlock(&k->lock);
			content_retire(k->s->content, number);
			pthread_mutex_lock(&k->lock);
		} else if (k->stopping) {
			break;
		} else if (k->checkpoint) {
			k->checkpoint = false;
			pthread_mutex_unlock(&k->lock);
			checkpoint(k);
			pthread_mutex_lock(&k->lock);
		} else {
			pthread_cond_wait(&k->wake, &k->lock);
		}
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

int
keeper_start(struct store *s, struct err *e)
{
	struct keeper *k = mem_alloc(sizeof(*k));
	int rc;

	k->s = s;
	if (index_connect(s->db_path, false, &k->db, e) == -1) {
		free(k);
		return -1;
	}
	/* The first read opens the log, which holds its state from now on. */
	(void)sqlite3_exec(k->db, "SELECT n FROM probe", NULL, NULL, NULL);
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->wake, NULL);
	rc = thread_start(&k->thread, "store-keeper", run, k);
	if (rc != 0) {
		sqlite3_close(k->db);
		free(k);
		return err_sys(e, rc, "start the store's second thread");
	}
	s->keeper = k;
	return 0;
}

void
keeper_stop(struct store *s)
{
	struct keeper *k = s->keeper;

	s->keeper = NULL;
	if (k == NULL) {
		return;
	}
	pthread_mutex_lock(&k->lock);
	k->stopping = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	sqlite3_close(k->db);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	free(k->dead);
	free(k);
}

void
keeper_checkpoint(struct keeper *k)
{
	pthread_mutex_lock(&k->lock);
	k->checkpoint = true;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
}

bool
keeper_checkpointed(struct keeper *k)
{
	bool was;

	pthread_mutex_lock(&k->lock);
	was = k->checkpointed;
	k->checkpointed = false;
	pthread_mutex_unlock(&k->lock);
	return was;
}

void
keeper_unlink(struct keeper *k, uint64_t number)
{
	pthread_mutex_lock(&k->lock);
	if (k->dead_n == k->dead_cap) {
		k->dead_cap = k->dead_cap * 2 + 16;
		k->dead = mem_reallocarray(k->dead, k->dead_cap,
		                           sizeof(*k->dead));
	}
	k->dead[k->dead_n++] = number;
	pthread_cond_signal(&k->wake);
	pthread_mutex_unlock(&k->lock);
}
