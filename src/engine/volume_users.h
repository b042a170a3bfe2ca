/*
 * The containers that mount a volume, for verbs that need it to stand still or to themselves. The
 * caller holds engine_volumes_lock(), so that their number only falls.
 */
#pragma once

#include "engine/engine.h"

/* True where the container mounts the volume or one of its snapshots ("VOLUME@SNAPSHOT"). */
bool volume_is_mounted_by(const struct container *container, const char *volume);

struct volume_users {
	char (*ids)[65]; /* in the arena it was filled from */
	int *locks;	 /* or what holds them paused: engine_hold() */
	size_t count;
};

/*
 * Pauses every container that runs and writes to the volume; those that were paused stay out of
 * it. volume_users_resume() is due also after a failure. Where the caller is killed in between the
 * monitors let them go on (engine_hold()).
 */
int volume_users_pause(struct engine *engine, struct arena *arena, const char *volume,
		       struct volume_users *ret, struct masu_error *err);
void volume_users_resume(struct engine *engine, struct volume_users *users);

/*
 * Keeps every container that mounts the volume from being started, until volume_users_release(),
 * which is due also after a failure; what create prepared of them is taken down. -EBUSY with its
 * name where one runs.
 */
int volume_users_hold(struct engine *engine, struct arena *arena, const char *volume,
		      struct volume_users *ret, struct masu_error *err);
void volume_users_release(struct volume_users *users);
