/*
 * The monitor of a container whose exec driver is not in the program that starts it: masu-more, put
 * in place of the starter's fork, with the same descriptors. It reads the container again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "engine/monitor.h"
#include "engine/start.h"

/* What of a struct monitor_start is told, in this order. */
enum { LOCK, CONTROL, STREAM, STREAMS, ROWS, COLUMNS, NETWORK, VALUES };

void monitor_elsewhere(const struct engine *engine, const struct container *container,
		       const struct monitor_start *start)
{
	char program[PATH_MAX], words[VALUES][12];
	const int values[VALUES] = { start->lock_fd,	    start->control_fd, start->stream_fd,
				     (int)start->streams,   start->rows,       start->columns,
				     start->network_follows };
	const char *argv[7 + VALUES + 1] = { program,	   "--root",	    engine->root,
					     "--runroot",  engine->runroot, SUPERVISE_VERB,
					     container->id };
	struct masu_error err = { 0 };
	for (int i = 0; i < VALUES; i++) {
		snprintf(words[i], sizeof(words[i]), "%d", values[i]);
		argv[7 + i] = words[i];
		if (i <= STREAM && values[i] >= 0)
			fcntl(values[i], F_SETFD, 0);
	}
	/* What it starts is beside it and not beside masu. */
	if (setenv("MASU_LIBEXEC", engine->libexec, 1) == 0 &&
	    str_format(program, sizeof(program), "%s/masu-more", engine->libexec) == 0)
		execv(program, (char **)argv);
	error_errno(&err, -errno, "%s: cannot start; is masu installed completely?", program);
	ctl_send_error(start->control_fd, &err);
	_exit(EXIT_FAILURE);
}

int supervise_become(struct engine *engine, struct arena *arena, char *const *words,
		     struct masu_error *err)
{
	static struct container container;
	int values[VALUES];
	for (int i = 0; i < VALUES; i++) {
		int64_t value;
		if (str_to_i64(words[1 + i], &value) < 0 || value < -1 || value > INT32_MAX)
			return error_set(err, -EINVAL, "not a number: %.32s", words[1 + i]);
		values[i] = (int)value;
	}
	const struct monitor_start start = { .lock_fd = values[LOCK],
					     .control_fd = values[CONTROL],
					     .stream_fd = values[STREAM],
					     .streams = (unsigned)values[STREAMS],
					     .rows = (unsigned short)values[ROWS],
					     .columns = (unsigned short)values[COLUMNS],
					     .network_follows = values[NETWORK] };
	int r = store_load(engine, arena, words[0], &container, err);
	if (r == 0)
		monitor_main(engine, arena, &container, &start);
	ctl_send_error(start.control_fd, err);
	return r;
}
