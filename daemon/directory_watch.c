/*
 * The watch over the directory's file. One worker at a time reads it; a reload
 * meanwhile makes its finding worthless.
 */
#include "daemon/directory_watch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "daemon/net/directory_file.h"
#include "daemon/net/reactor.h"
#include "daemon/net/snapshot.h"
#include "policy/directory.h"

#define IDLE_MS 1000 /* between looks for settings that ask for looks */

struct directory_watch {
	struct directory_watch_options o;
	struct timer timer;
	struct directory_stamp bad; /* of the file that was told as bad */
	struct snapshot *reading;   /* a reference; NULL: no worker is at it */
	struct task task;
	struct directory *found; /* the worker's, until it posts back */
	struct directory_stamp stamp;
	struct err err;
	bool stopped;
	pthread_mutex_t lock; /* of what the status shows */
	size_t people;
	char why[ERR_TEXT_MAX];
};

static void
show(struct directory_watch *w, const char *why)
{
	const struct snapshot *s = w->o.snapshot(w->o.arg);

	pthread_mutex_lock(&w->lock);
	w->people = s->directory != NULL ? directory_people(s->directory) : 0;
	(void)snprintf(w->why, sizeof(w->why), "%s", why);
	pthread_mutex_unlock(&w->lock);
}

static void
again(struct directory_watch *w)
{
	const struct conf_directory *c =
		&w->o.snapshot(w->o.arg)->conf->directory;
	bool looks = c->file != NULL && c->check_ms > 0;

	if (!w->stopped) {
		timer_set(&w->timer, looks ? c->check_ms : IDLE_MS);
	}
}

static void
log_people(const struct directory *d, const char *file)
{
	struct log_line l;

	log_begin(&l, LOG_LEVEL_INFO, "directory");
	log_int(&l, "people", (int64_t)directory_people(d));
	log_str(&l, "file", file);
	log_end(&l);
}

static void
take(struct directory_watch *w, struct snapshot *now)
{
	struct directory *d = w->found;

	w->found = NULL;
	if (d == NULL) {
		w->bad = w->stamp;
		log_event(LOG_LEVEL_ERROR, "directory-failed",
		          "%s; the former directory stays", w->err.text);
		show(w, w->err.text);
		return;
	}
	log_people(d, now->conf->directory.file);
	w->o.publish(w->o.arg, snapshot_with_directory(now, d, &w->stamp));
	w->bad = (struct directory_stamp){ 0 };
	show(w, "");
}

/* Main thread. */
static void
on_read(struct task *t)
{
	struct directory_watch *w =
		(struct directory_watch *)((char *)t -
	                                   offsetof(struct directory_watch,
	                                            task));
	struct snapshot *now = w->o.snapshot(w->o.arg);

	if (!w->stopped && now == w->reading) {
		take(w, now);
	}
	directory_unref(&w->found);
	snapshot_unref(&w->reading);
	again(w);
}

static void
on_worker(struct task *t)
{
	struct directory_watch *w =
		(struct directory_watch *)((char *)t -
	                                   offsetof(struct directory_watch,
	                                            task));

	(void)directory_file_load(w->reading->conf->directory.file, &w->found,
	                          &w->stamp, &w->err); /* found: NULL */
	t->run = on_read;
	reactor_post(w->o.reactor, t);
}

static void
on_timer(void *arg)
{
	struct directory_watch *w = arg;
	struct snapshot *now = w->o.snapshot(w->o.arg);
	const struct conf_directory *c = &now->conf->directory;
	struct directory_stamp seen;

	if (w->reading != NULL) {
		return; /* its end asks again */
	}
	if (c->file == NULL || c->check_ms == 0) {
		again(w);
		return;
	}
	directory_file_look(c->file, &seen);
	if (directory_stamp_same(&seen, &now->stamp)) {
		if (w->why[0] != '\0') {
			w->bad = (struct directory_stamp){ 0 };
			show(w, ""); /* what was good came back */
		}
		again(w);
		return;
	}
	if (w->why[0] != '\0' && directory_stamp_same(&seen, &w->bad)) {
		again(w);
		return;
	}
	w->reading = snapshot_ref(now);
	w->task.run = on_worker;
	workers_post(w->o.workers, &w->task);
}

struct directory_watch *
directory_watch_new(const struct directory_watch_options *o)
{
	struct directory_watch *w = mem_alloc(sizeof(*w));

	w->o = *o;
	pthread_mutex_init(&w->lock, NULL);
	timer_init(&w->timer, o->reactor, on_timer, w);
	directory_watch_renew(w);
	return w;
}

void
directory_watch_renew(struct directory_watch *w)
{
	w->bad = (struct directory_stamp){ 0 };
	show(w, "");
	again(w);
}

void
directory_watch_stop(struct directory_watch *w)
{
	w->stopped = true;
	timer_stop(&w->timer);
}

void
directory_watch_free(struct directory_watch **wp)
{
	struct directory_watch *w = *wp;

	if (w == NULL) {
		return;
	}
	*wp = NULL;
	timer_clear(&w->timer);
	directory_unref(&w->found);
	snapshot_unref(&w->reading);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

size_t
directory_watch_state(struct directory_watch *w, char *why, size_t size)
{
	size_t people;

	pthread_mutex_lock(&w->lock);
	people = w->people;
	(void)snprintf(why, size, "%s", w->why);
	pthread_mutex_unlock(&w->lock);
	return people;
}
