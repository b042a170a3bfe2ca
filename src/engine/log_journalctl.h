/*
 * Reading a container's log back from the system's journal. Its files are journald's own, so its
 * program reads them: `journalctl`, a child of `masu logs`, prints one JSON object a message.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "engine/log_driver.h"

struct journal_reader {
	pid_t pid;
	int fd;	      /* readable when there is more, or it has ended */
	bool ended;   /* there is nothing more to come */
	bool missing; /* the program is not there */
	size_t at;    /* what of @text was taken */
	struct buf text;
	struct arena arena; /* of the last message */
};

/* Waits until the journal has what was sent to it. */
void journal_sync(void);
/* The last @tail messages of the container (-1: all), with @follow also those that come. */
int journal_open(struct journal_reader *reader, const char *id, bool follow, int64_t tail);
void journal_close(struct journal_reader *reader);
/* The next piece: 1. 0: there is none now, or none any more (reader->ended). */
int journal_next(struct journal_reader *reader, struct log_entry *ret);
