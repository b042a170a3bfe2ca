/*
 * Layers that are only there because containers use them go with the last of these. Who removes a
 * container looks for the mark that there are such, and has masu-more see to it: what collects
 * garbage is not in the program that containers wait for.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"
#include "engine/images.h"

void engine_images_collect_behind(const struct engine *engine)
{
	char program[PATH_MAX];
	const char *argv[] = { program,		"--root",     engine->root, "--runroot",
			       engine->runroot, COLLECT_VERB, NULL };
	if (faccessat(engine->root_fd, ENGINE_ORPHANS, F_OK, 0) < 0 ||
	    str_format(program, sizeof(program), "%s/masu-more", engine->libexec) < 0 ||
	    fork() != 0)
		return;
	execv(program, (char **)argv);
	_exit(EXIT_FAILURE); /* the mark stays, and the next one finds it */
}
