/* The image verbs, for the command tables in commands.c and image.c. */
#pragma once

#include "cli/command.h"

extern const struct cli_command images_command; /* images.c */
extern const struct cli_command image_ls_command;
extern const struct cli_command tag_command; /* image_edit.c */
extern const struct cli_command rmi_command;
extern const struct cli_command image_rm_command;
extern const struct cli_command commit_command; /* image.c: run by libexec/masu/masu-image */
extern const struct cli_command import_command; /* image.c: run by libexec/masu/masu-image */
extern const struct cli_command load_command;
extern const struct cli_command login_command;
extern const struct cli_command logout_command;
extern const struct cli_command pull_command;
extern const struct cli_command push_command;
extern const struct cli_command save_command;
extern const struct cli_command search_command;
extern const struct cli_command image_command;	    /* image.c: the group "masu image" */
extern const struct cli_command image_sign_command; /* manifest.c */
extern const struct cli_command image_verify_command;
extern const struct cli_command image_key_pair_command;
extern const struct cli_command image_inspect_command; /* image_inspect.c */
extern const struct cli_command history_command;       /* history.c */

/* "latest" of "docker.io/library/busybox:latest"; with @repository "busybox". "<none>" for NULL. */
const char *image_shown_repository(struct arena *arena, const char *reference);
const char *image_shown_tag(struct arena *arena, const char *reference);
