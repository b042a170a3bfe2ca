/* Reads the request from stdin, runs the plugins, answers. Descriptors: 3 the container's network
 * namespace (add), 4 masu's root, 5 its runroot. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/id.h"
#include "base/str.h"
#include "cold/cni/cni.h"
#include "sys/fs.h"

enum { NETNS_FD = 3, ROOT_FD, RUN_FD };

static int answer(const struct cni *cni, struct masu_error *err)
{
	_cleanup_buf_ struct buf out;
	struct json_writer w;
	buf_init(&out, CNI_RESULT_MAX);
	json_writer_init(&w, &out, false);
	int r = cni_result_write(cni, &w, err);
	if (r < 0)
		return r;
	if (buf_error(&out) || puts(buf_str(&out)) < 0 || fflush(stdout) < 0)
		return error_set(err, -EIO, "answer cannot be written");
	return 0;
}

static bool is_interface(const char *name)
{
	return *name && strlen(name) < 16 && !strchr(name, '/') && name[0] != '.';
}

static int serve(struct cni *cni, struct masu_error *err)
{
	const char *verb;
	if (!json_string(json_get(cni->request, "verb"), &verb) ||
	    !json_string(json_get(cni->request, "container"), &cni->container) ||
	    !json_string(json_get(cni->request, "network"), &cni->network) ||
	    !json_string(json_get(cni->request, "interface"), &cni->interface) ||
	    strlen(cni->container) != ID_LENGTH || !id_prefix_valid(cni->container) ||
	    !is_interface(cni->interface))
		return error_set(err, -EINVAL, "the request is not valid");
	if (streq(verb, "del"))
		return cni_del(cni, err);
	if (streq(verb, "check"))
		return cni_check(cni, err);
	if (!streq(verb, "add"))
		return error_set(err, -EINVAL, "request with the unknown verb \"%s\"", verb);
	int r = cni_add(cni, err);
	if (r == 0 && (r = answer(cni, err)) < 0)
		(void)cni_del(cni, NULL);
	return r;
}

int main(void)
{
	_cleanup_arena_ struct arena arena;
	struct masu_error err = { 0 };
	struct cni cni = {
		.arena = &arena, .netns_fd = NETNS_FD, .root_fd = ROOT_FD, .run_fd = RUN_FD
	};
	char *text;
	size_t len;
	arena_init(&arena, 64u << 20);
	/* Plugins are stopped with us; the record says what to undo. */
	int r = prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
	for (int fd = NETNS_FD; fd <= RUN_FD; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (r == 0)
		r = fs_read_arena(AT_FDCWD, "/proc/self/fd/0", CNI_CONFIG_MAX, &arena, &text, &len);
	if (r < 0)
		error_errno(&err, r, "request");
	else
		r = json_parse(&arena, text, len, &cni.request, &err);
	if (r == 0)
		r = serve(&cni, &err);
	if (r == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "%s\n", err.message);
	return EXIT_FAILURE;
}
