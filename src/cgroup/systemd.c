/*
 * The systemd manager: groups are units, asked for over D-Bus. The bus lives in the cold program
 * masu-systemd, run once a call; this side writes its request, a JSON document, and reads its
 * answer.
 *
 * A scope is made around a process, so all work waits for the first pid. systemd makes the groups
 * of the hierarchies that it manages; in the others masu makes groups of the same path.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/internal.h"
#include "sys/fs.h"

#define ANSWER_MAX (64u << 10)

extern char **environ;

/* Runs masu-systemd with @request as its stdin; its output, an answer or an error line, in @ret. */
static int run_helper(const struct cgroup *cgroup, const struct buf *request, struct buf *ret,
		      struct masu_error *err)
{
	char path[PATH_MAX];
	if (!cgroup->libexec ||
	    str_format(path, sizeof(path), "%s/masu-systemd", cgroup->libexec) < 0)
		return error_set(err, -ENOENT, "systemd cgroup manager: masu-systemd not found");
	_cleanup_close_ int in = memfd_create("masu-systemd-request", MFD_CLOEXEC);
	_cleanup_close_ int out = memfd_create("masu-systemd-answer", MFD_CLOEXEC);
	int r = in < 0 || out < 0 ? -errno : fs_write_all(in, request->data, request->len);
	if (r == 0 && lseek(in, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		return error_errno(err, r, "systemd cgroup manager: request");
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	pid_t pid;
	char *const argv[] = { (char[]) { "masu-systemd" }, NULL };
	r = -posix_spawn(&pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r < 0)
		return error_errno(err, r, "%s: cannot start; is masu installed completely?", path);
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_errno(err, -errno, "masu-systemd: wait");
	char name[FS_PROC_FD_MAX];
	r = fs_read_at(AT_FDCWD, fs_proc_fd(out, name), ANSWER_MAX, ret);
	if (r < 0)
		return error_errno(err, r, "masu-systemd: answer");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, -EIO, "systemd unit %s: %.*s", cgroup->unit,
				 (int)strcspn(buf_str(ret), "\n"), buf_str(ret));
	return 0;
}

static void begin_request(struct json_writer *w, struct buf *out, const struct cgroup *cgroup,
			  const char *verb)
{
	json_writer_init(w, out, false);
	json_begin_object(w);
	json_field_string(w, "verb", verb);
	json_field_string(w, "unit", cgroup->unit);
	json_field_bool(w, "user", cgroup->rootless);
}

int systemd_prepare(struct cgroup *cgroup, const struct cgroup_request *request,
		    struct masu_error *err)
{
	const char *path;
	int r = path_systemd(&cgroup->arena, request->path, request->id, request->rootless,
			     &cgroup->unit, &cgroup->slice, &path, err);
	if (r < 0)
		return r;
	cgroup->libexec = request->libexec ? arena_strdup(&cgroup->arena, request->libexec) : NULL;
	cgroup->request = *request;
	cgroup->shared = true;
	for (size_t i = 0; i < cgroup->tree_count; i++)
		cgroup->trees[i].path = path;
	if (!request->resources)
		return 0;
	struct plan plan;
	plan_init(&plan, &cgroup->arena);
	r = plan_resources(cgroup, request->resources, &plan, err);
	return r < 0 ? r : plan_check(cgroup, &plan, err);
}

/* The unit's group as systemd names it; the expected one where it does not say. */
static int take_answer(struct cgroup *cgroup, const struct buf *answer, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 0);
	const struct json *document;
	const char *group;
	if (json_parse(&arena, answer->data, answer->len, &document, err) < 0)
		return error_wrap(err, "masu-systemd");
	if (!json_string(json_get(document, "controlGroup"), &group) || !*group)
		return 0;
	const char *path;
	int r = path_clean(&cgroup->arena, group, &path, err);
	for (size_t i = 0; r == 0 && i < cgroup->tree_count; i++)
		cgroup->trees[i].path = path;
	return r;
}

/* Puts the process into the hierarchies that systemd does not manage. */
static int move_process(struct cgroup *cgroup, pid_t pid, struct masu_error *err)
{
	char text[16];
	str_format(text, sizeof(text), "%d", pid);
	for (size_t i = 0; i < cgroup->tree_count; i++) {
		struct cgroup_tree *tree = &cgroup->trees[i];
		if (!tree->used || tree->v2 || tree->controllers & CTL_BIT(CTL_SYSTEMD))
			continue;
		int r = tree_open(tree);
		if (r == 0)
			r = fs_write_at(tree->dir_fd, "cgroup.procs", text);
		if (r < 0)
			return error_errno(err, r, "cgroup %s%s: move process %d", tree->mount,
					   tree->path, pid);
	}
	return 0;
}

int systemd_start(struct cgroup *cgroup, pid_t pid, struct masu_error *err)
{
	const struct cgroup_request *request = &cgroup->request;
	_cleanup_buf_ struct buf text, answer;
	buf_init(&text, 0);
	buf_init(&answer, ANSWER_MAX + 1);
	struct json_writer w;
	begin_request(&w, &text, cgroup, "start");
	json_field_string(&w, "slice", cgroup->slice);
	json_field_string(&w, "description", request->id);
	json_field_i64(&w, "pid", pid);
	json_field_bool(&w, "v2", cgroup->layout == CGROUP_V2);
	json_key(&w, "properties");
	systemd_properties(cgroup, request->resources, true, &w);
	json_key(&w, "annotations");
	json_begin_object(&w);
	for (size_t i = 0; i < request->annotation_count; i++)
		if (str_after(request->annotations[i].key, "org.systemd.property."))
			json_field_string(&w, request->annotations[i].key,
					  request->annotations[i].value);
	json_end_object(&w);
	json_end_object(&w);
	if (buf_error(&text))
		return error_set(err, buf_error(&text), "out of memory");
	int r = run_helper(cgroup, &text, &answer, err);
	if (r == 0)
		r = take_answer(cgroup, &answer, err);
	if (r < 0)
		return r;
	r = cgroup_set_up(cgroup, request->resources, err);
	if (r == 0)
		r = move_process(cgroup, pid, err);
	if (r < 0)
		systemd_stop(cgroup, NULL);
	return r;
}

int systemd_stop(struct cgroup *cgroup, struct masu_error *err)
{
	_cleanup_buf_ struct buf text, answer;
	buf_init(&text, 0);
	buf_init(&answer, ANSWER_MAX + 1);
	struct json_writer w;
	begin_request(&w, &text, cgroup, "stop");
	json_end_object(&w);
	if (buf_error(&text))
		return error_set(err, buf_error(&text), "out of memory");
	return run_helper(cgroup, &text, &answer, err);
}

int systemd_update(struct cgroup *cgroup, const struct oci_resources *r, struct masu_error *err)
{
	_cleanup_buf_ struct buf text, answer;
	buf_init(&text, 0);
	buf_init(&answer, ANSWER_MAX + 1);
	struct json_writer w;
	begin_request(&w, &text, cgroup, "set");
	json_key(&w, "properties");
	systemd_properties(cgroup, r, false, &w);
	json_end_object(&w);
	if (buf_error(&text))
		return error_set(err, buf_error(&text), "out of memory");
	return run_helper(cgroup, &text, &answer, err);
}
