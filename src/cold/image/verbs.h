/* The verbs of masu-image. */
#pragma once

#include "cli/command.h"

extern const struct cli_command image_command;	/* sign.c: the group, with what only it has */
extern const struct cli_command commit_command; /* commit.c */
extern const struct cli_command container_archive_command; /* container_import.c */
extern const struct cli_command import_command;		   /* import.c */
extern const struct cli_command load_command;		   /* load.c */
extern const struct cli_command login_command;		   /* login.c */
extern const struct cli_command logout_command;
extern const struct cli_command manifest_command;	 /* manifest.c */
extern const struct cli_command pull_command;		 /* pull.c */
extern const struct cli_command push_command;		 /* push.c */
extern const struct cli_command save_command;		 /* save.c */
extern const struct cli_command search_command;		 /* search.c */
extern const struct cli_command volume_registry_command; /* volume_pull.c */

/* `masu container export --with-volumes` and `import`. */
int container_export_run(struct cli_context *context, void *data, int argc, char **argv,
			 struct masu_error *err);
int container_import_run(struct cli_context *context, void *data, int argc, char **argv,
			 struct masu_error *err);

/* `masu volume push` and `pull`. */
int volume_push_run(struct cli_context *context, void *data, int argc, char **argv,
		    struct masu_error *err);
int volume_pull_run(struct cli_context *context, void *data, int argc, char **argv,
		    struct masu_error *err);

/* Opens <root> as the hot program does, making it where it is missing. */
int open_root(const struct cli_context *context, int *ret_fd, struct masu_error *err);

/* The full form of the name that a new image gets; @verb is for the message. */
int parse_target(struct arena *arena, const char *text, const char *verb, const char **ret,
		 struct masu_error *err);

/* Tells `masu events` of the image that has this id; @reference (may be NULL): the name it got. */
void tell_image(const struct cli_context *context, int root_fd, const char *action, const char *id,
		const char *reference);

/* `masu manifest inspect` (manifest_inspect.c). */
int manifest_inspect(struct cli_context *context, void *data, int argc, char **argv,
		     struct masu_error *err);
