#include "engine/lifecycle.h"

#include <errno.h>

#define ALLOWED(state)                                                                             \
	{                                                                                          \
		LIFECYCLE_ALLOWED, CONTAINER_##state, NULL                                         \
	}
#define NOTHING(state)                                                                             \
	{                                                                                          \
		LIFECYCLE_NOTHING, CONTAINER_##state, NULL                                         \
	}
#define REFUSED(state, text)                                                                       \
	{                                                                                          \
		LIFECYCLE_REFUSED, CONTAINER_##state, text                                         \
	}

#define NOT_RUNNING "container %s is not running"
#define GOING	    "container %s is being removed; wait for it, or create another one"
#define RESTARTING  "container %s is restarting; wait until it runs"
#define DEAD	    "container %s is dead and can only be removed"
#define NOT_PAUSED  "container %s is not paused"

/* clang-format off */
static const struct lifecycle_rule rules[][VERB_COUNT] = {
	[CONTAINER_CREATED] = {
		[VERB_START]	    = ALLOWED(RUNNING),
		[VERB_STOP]	    = NOTHING(CREATED),
		[VERB_KILL]	    = REFUSED(CREATED, NOT_RUNNING),
		[VERB_REMOVE]	    = ALLOWED(REMOVING),
		[VERB_REMOVE_FORCE] = ALLOWED(REMOVING),
		[VERB_EXEC]	    = REFUSED(CREATED, NOT_RUNNING),
		[VERB_ATTACH]	    = REFUSED(CREATED, "you cannot attach to a stopped container, start %s first"),
		[VERB_PAUSE]	    = REFUSED(CREATED, NOT_RUNNING),
		[VERB_UNPAUSE]	    = REFUSED(CREATED, NOT_PAUSED),
		[VERB_TOP]	    = REFUSED(CREATED, NOT_RUNNING),
		[VERB_CHANGE]	    = ALLOWED(CREATED),
	},
	[CONTAINER_RUNNING] = {
		[VERB_START]	    = NOTHING(RUNNING),
		[VERB_STOP]	    = ALLOWED(EXITED),
		[VERB_KILL]	    = ALLOWED(EXITED),
		[VERB_REMOVE]	    = REFUSED(RUNNING, "you cannot remove the running container %s; stop it before "
						       "attempting removal, or use force (rm -f)"),
		[VERB_REMOVE_FORCE] = ALLOWED(REMOVING),
		[VERB_EXEC]	    = ALLOWED(RUNNING),
		[VERB_ATTACH]	    = ALLOWED(RUNNING),
		[VERB_PAUSE]	    = ALLOWED(PAUSED),
		[VERB_UNPAUSE]	    = REFUSED(RUNNING, NOT_PAUSED),
		[VERB_TOP]	    = ALLOWED(RUNNING),
		[VERB_CHANGE]	    = ALLOWED(RUNNING),
	},
	[CONTAINER_PAUSED] = {
		[VERB_START]	    = REFUSED(PAUSED, "cannot start the paused container %s, try unpause instead"),
		[VERB_STOP]	    = ALLOWED(EXITED),
		[VERB_KILL]	    = ALLOWED(EXITED),
		[VERB_REMOVE]	    = REFUSED(PAUSED, "you cannot remove the paused container %s; unpause and then stop it "
						      "before attempting removal, or use force (rm -f)"),
		[VERB_REMOVE_FORCE] = ALLOWED(REMOVING),
		[VERB_EXEC]	    = REFUSED(PAUSED, "container %s is paused, unpause the container before exec"),
		[VERB_ATTACH]	    = REFUSED(PAUSED, "you cannot attach to the paused container %s, unpause it first"),
		[VERB_PAUSE]	    = REFUSED(PAUSED, "container %s is already paused"),
		[VERB_UNPAUSE]	    = ALLOWED(RUNNING),
		[VERB_TOP]	    = ALLOWED(PAUSED),
		[VERB_CHANGE]	    = ALLOWED(PAUSED),
	},
	[CONTAINER_RESTARTING] = {
		[VERB_START]	    = ALLOWED(RUNNING), /* now, without the rest of the wait */
		[VERB_STOP]	    = ALLOWED(EXITED),
		[VERB_KILL]	    = ALLOWED(EXITED),
		[VERB_REMOVE]	    = REFUSED(RESTARTING, "you cannot remove the restarting container %s; stop it before "
							  "attempting removal, or use force (rm -f)"),
		[VERB_REMOVE_FORCE] = ALLOWED(REMOVING),
		[VERB_EXEC]	    = REFUSED(RESTARTING, RESTARTING),
		[VERB_ATTACH]	    = REFUSED(RESTARTING, "you cannot attach to the restarting container %s, wait until it "
							  "is running"),
		[VERB_PAUSE]	    = REFUSED(RESTARTING, RESTARTING),
		[VERB_UNPAUSE]	    = REFUSED(RESTARTING, NOT_PAUSED),
		[VERB_TOP]	    = REFUSED(RESTARTING, RESTARTING),
		[VERB_CHANGE]	    = ALLOWED(RESTARTING),
	},
	[CONTAINER_REMOVING] = {
		[VERB_START]	    = REFUSED(REMOVING, "container %s is marked for removal and cannot be started"),
		[VERB_STOP]	    = REFUSED(REMOVING, GOING),
		[VERB_KILL]	    = REFUSED(REMOVING, GOING),
		[VERB_REMOVE]	    = ALLOWED(REMOVING), /* what a killed `rm` left is finished */
		[VERB_REMOVE_FORCE] = ALLOWED(REMOVING),
		[VERB_EXEC]	    = REFUSED(REMOVING, GOING),
		[VERB_ATTACH]	    = REFUSED(REMOVING, GOING),
		[VERB_PAUSE]	    = REFUSED(REMOVING, GOING),
		[VERB_UNPAUSE]	    = REFUSED(REMOVING, GOING),
		[VERB_TOP]	    = REFUSED(REMOVING, GOING),
		[VERB_CHANGE]	    = REFUSED(REMOVING, GOING),
	},
	[CONTAINER_EXITED] = {
		[VERB_START]	    = ALLOWED(RUNNING),
		[VERB_STOP]	    = NOTHING(EXITED),
		[VERB_KILL]	    = REFUSED(EXITED, NOT_RUNNING),
		[VERB_REMOVE]	    = ALLOWED(REMOVING),
		[VERB_REMOVE_FORCE] = ALLOWED(REMOVING),
		[VERB_EXEC]	    = REFUSED(EXITED, NOT_RUNNING),
		[VERB_ATTACH]	    = REFUSED(EXITED, "you cannot attach to a stopped container, start %s first"),
		[VERB_PAUSE]	    = REFUSED(EXITED, NOT_RUNNING),
		[VERB_UNPAUSE]	    = REFUSED(EXITED, NOT_PAUSED),
		[VERB_TOP]	    = REFUSED(EXITED, NOT_RUNNING),
		[VERB_CHANGE]	    = ALLOWED(EXITED),
	},
	[CONTAINER_DEAD] = {
		[VERB_START]	    = REFUSED(DEAD, DEAD),
		[VERB_STOP]	    = NOTHING(DEAD),
		[VERB_KILL]	    = REFUSED(DEAD, NOT_RUNNING),
		[VERB_REMOVE]	    = ALLOWED(REMOVING),
		[VERB_REMOVE_FORCE] = ALLOWED(REMOVING),
		[VERB_EXEC]	    = REFUSED(DEAD, DEAD),
		[VERB_ATTACH]	    = REFUSED(DEAD, DEAD),
		[VERB_PAUSE]	    = REFUSED(DEAD, DEAD),
		[VERB_UNPAUSE]	    = REFUSED(DEAD, NOT_PAUSED),
		[VERB_TOP]	    = REFUSED(DEAD, DEAD),
		[VERB_CHANGE]	    = REFUSED(DEAD, DEAD),
	},
};
/* clang-format on */

static const char *const status_names[] = {
	[CONTAINER_CREATED] = "created",   [CONTAINER_RUNNING] = "running",
	[CONTAINER_PAUSED] = "paused",	   [CONTAINER_RESTARTING] = "restarting",
	[CONTAINER_REMOVING] = "removing", [CONTAINER_EXITED] = "exited",
	[CONTAINER_DEAD] = "dead",
};

const char *container_status_name(enum container_status status)
{
	return status_names[status];
}

const struct lifecycle_rule *lifecycle_rule(enum container_status status, enum lifecycle_verb verb)
{
	return &rules[status][verb];
}

int lifecycle_check(const struct container *container, enum lifecycle_verb verb,
		    struct masu_error *err)
{
	const struct lifecycle_rule *rule = lifecycle_rule(container->status, verb);
	if (rule->answer == LIFECYCLE_ALLOWED)
		return 0;
	if (rule->answer == LIFECYCLE_NOTHING)
		return 1;
	const char *who = container->name ? container->name : container->id;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	return error_set(err, -EBUSY, rule->message, who);
#pragma GCC diagnostic pop
}
