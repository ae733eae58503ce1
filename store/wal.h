#ifndef SORTIE_STORE_WAL_H
#define SORTIE_STORE_WAL_H

/*
 * SQLite's way to the write-ahead log of the store, for connections that write
 * with synchronous = FULL: what one commit appends goes out in one write
 * before its sync, where SQLite itself makes two for each page (a batch of
 * eight messages: 20 of them). Nothing is visible to other connections or
 * durable before that sync either way (SQLite file format 4.4).
 *
 * A failed write is told by the sync, or by whatever else came first.
 */

/* The VFS's name for sqlite3_open_v2; registered by the first call. NULL: the
 * default one, when it could not be. Thread-safe. */
const char *wal_vfs(void);

#endif
