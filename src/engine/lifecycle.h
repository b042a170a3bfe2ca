/*
 * The life of a container as one table: which verb is allowed in which state, what it leads to, and
 * what the user is told where it is not. docs/lifecycle.md shows the same table.
 */
#pragma once

#include "engine/engine.h"

enum lifecycle_verb {
	VERB_START,
	VERB_STOP,
	VERB_KILL,
	VERB_REMOVE,
	VERB_REMOVE_FORCE,
	VERB_EXEC,
	VERB_ATTACH,
	VERB_PAUSE,
	VERB_UNPAUSE,
	VERB_TOP,
	VERB_CHANGE, /* rename, update */
	VERB_COUNT
};

enum lifecycle_answer {
	LIFECYCLE_REFUSED, /* with the row's message */
	LIFECYCLE_ALLOWED,
	LIFECYCLE_NOTHING /* already as asked: success without doing anything */
};

struct lifecycle_rule {
	enum lifecycle_answer answer;
	enum container_status next;
	const char *message; /* of a refusal; "%s" is the name or id as the user gave it */
};

const struct lifecycle_rule *lifecycle_rule(enum container_status status, enum lifecycle_verb verb);

/* 0 where @verb has something to do, 1 where there is nothing to do, -EBUSY or -EINVAL with the
 * table's message where it is refused. */
int lifecycle_check(const struct container *container, enum lifecycle_verb verb,
		    struct masu_error *err);
