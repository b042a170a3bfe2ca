/*
 * dockerd for its columns, in the harness's own namespaces: its network, its firewall and its /run
 * are not the machine's, and its store is below the scratch directory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cold/bench/place.h"
#include "cold/bench/spawn.h"

#define READY_LIMIT 60.0
#define SOCKET	    "unix:///run/docker.sock"

/* The client would follow the user's configuration to another daemon. */
static int wait_ready(struct place *place, struct masu_error *err)
{
	static const char *const argv[] = { "docker", "version", NULL };
	const struct timespec pause = { .tv_nsec = 100000000 };
	for (double end = spawn_now() + READY_LIMIT; spawn_now() < end;) {
		struct masu_error why = { 0 };
		if (place_host(place, argv, 10, NULL, &why) == 0)
			return 0;
		if (spawn_interrupted)
			return error_errno(err, -EINTR, "waiting for dockerd");
		nanosleep(&pause, NULL);
	}
	return error_set(err, -ETIMEDOUT, "dockerd does not answer within %.0f s", READY_LIMIT);
}

/* dockerd has what is forwarded dropped (FORWARD's policy), for its own containers lets through
 * what it knows of: ports of everybody else would be shut as long as it is there. Its rules remain.
 */
static int let_others_through(struct place *place, struct masu_error *err)
{
	static const char *const argv[] = { "iptables", "-P", "FORWARD", "ACCEPT", NULL };
	return place_host(place, argv, 10, NULL, err);
}

int place_need_docker(struct place *place, struct masu_error *err)
{
	if (place->docker)
		return 0;
	const char *root = arena_printf(place->arena, "%s/docker", place->scratch);
	const char *argv[] = { "dockerd",	  "--data-root", root,	  "--exec-root",
			       "/run/docker",	  "-H",		 SOCKET,  "-p",
			       "/run/docker.pid", "--log-level", "error", NULL };
	struct spawn spawn = { .argv = argv, .netns = -1, .cpu = SPAWN_NOT_PINNED, .quiet = true };
	if (!root)
		return error_set(err, -ENOMEM, "out of memory");
	if (setenv("DOCKER_HOST", SOCKET, 1) < 0)
		return error_errno(err, -errno, "docker");
	int r = spawn_start(&spawn, &place->docker, err);
	if (r == 0)
		r = wait_ready(place, err);
	return r < 0 ? r : let_others_through(place, err);
}
