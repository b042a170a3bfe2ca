#include "exec/native/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/str.h"
#include "exec/native/seccomp_blob.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1UL << 4)
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define CACHE_NAME_MAX 32

struct seccomp_filter {
	struct sock_fprog program;
	unsigned flags;
	bool notify;
};

static struct seccomp_environment configured;

void seccomp_configure(const struct seccomp_environment *environment)
{
	configured = *environment;
}

bool seccomp_has_listener(const struct seccomp_filter *filter)
{
	return filter && filter->notify;
}

static struct seccomp_filter *make_filter(struct arena *arena, const struct oci_seccomp *section,
					  void *insns, uint32_t count, bool notify)
{
	struct seccomp_filter *filter = arena_new(arena, struct seccomp_filter);
	if (!filter)
		return NULL;
	filter->program.len = (unsigned short)count;
	filter->program.filter = insns;
	filter->flags = section->flags;
	filter->notify = notify;
	/* The kernel refuses this flag without a listener, where it would mean nothing. */
	if (!notify)
		filter->flags &= ~(unsigned)SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	return filter;
}

/* ---- cache ---- */

static bool cache_name(char ret[CACHE_NAME_MAX], const struct oci_seccomp *section)
{
	uint64_t hash = hash_words(HASH_SEED, section->source, section->source_len);
	return str_format(ret, CACHE_NAME_MAX, "%016llx.bpf", (unsigned long long)hash) == 0;
}

/* What a cache entry for @section must begin with; notify and insn_count are the entry's own. */
static int expected_header(const struct oci_seccomp *section, struct seccomp_cache_header *ret)
{
	struct stat st;
	if (stat(configured.compiler, &st) < 0) /* masu's own path; lint: ok */
		return -errno;
	*ret = (struct seccomp_cache_header) {
		.magic = SECCOMP_CACHE_MAGIC,
		.section_len = section->source_len,
		.compiler_size = (uint64_t)st.st_size,
		.compiler_mtime_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
		.compiler_ctime_ns = st.st_ctim.tv_sec * INT64_C(1000000000) + st.st_ctim.tv_nsec,
	};
	return 0;
}

static bool entry_matches(const unsigned char *entry, size_t size,
			  const struct seccomp_cache_header *expected, const char *text)
{
	struct seccomp_cache_header header;
	if (size < sizeof(header))
		return false;
	memcpy(&header, entry, sizeof(header));
	if (header.insn_count == 0 || header.insn_count > SECCOMP_MAX_INSNS || header.notify > 1)
		return false;
	size_t insns = header.insn_count * sizeof(struct sock_filter);
	if (size != sizeof(header) + insns + expected->section_len)
		return false;
	struct seccomp_cache_header wanted = *expected;
	wanted.notify = header.notify;
	wanted.insn_count = header.insn_count;
	return memcmp(&header, &wanted, sizeof(header)) == 0 &&
	       memcmp(entry + sizeof(header) + insns, text, expected->section_len) == 0;
}

/* NULL where the cache has no usable entry. */
static struct seccomp_filter *cache_lookup(struct arena *arena, const char *name,
					   const struct oci_seccomp *section,
					   const struct seccomp_cache_header *expected)
{
	char path[4096];
	struct stat st;
	if (str_format(path, sizeof(path), "%s/%s", configured.cache_dir, name) < 0)
		return NULL;
	/* masu's own cache */
	int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	_cleanup_close_ int fd = open(path, flags); /* lint: ok */
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	/* A filter that somebody else could have written protects nothing. */
	size_t max = sizeof(*expected) + SECCOMP_MAX_INSNS * sizeof(struct sock_filter) +
		     section->source_len;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) ||
	    (uint64_t)st.st_size > max)
		return NULL;
	unsigned char *entry = arena_alloc(arena, (size_t)st.st_size + 1);
	if (!entry || read(fd, entry, (size_t)st.st_size + 1) != st.st_size ||
	    !entry_matches(entry, (size_t)st.st_size, expected, section->source))
		return NULL;
	const struct seccomp_cache_header *header = (const void *)entry;
	return make_filter(arena, section, entry + sizeof(*header), header->insn_count,
			   header->notify);
}

/* The cache only saves time: what goes wrong here is no reason not to start the container. */
static void cache_store(const char *name, const struct oci_seccomp *section,
			const struct seccomp_filter *filter, struct seccomp_cache_header header)
{
	size_t insns = filter->program.len * sizeof(struct sock_filter);
	size_t size = sizeof(header) + insns + section->source_len;
	header.notify = filter->notify;
	header.insn_count = filter->program.len;
	_cleanup_free_ unsigned char *entry = malloc(size);
	if (!entry)
		return;
	memcpy(entry, &header, sizeof(header));
	memcpy(entry + sizeof(header), filter->program.filter, insns);
	memcpy(entry + sizeof(header) + insns, section->source, section->source_len);
	int r = fs_mkdirs(AT_FDCWD, configured.cache_dir, 0700);
	int flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
	_cleanup_close_ int dir = open(configured.cache_dir, flags); /* lint: ok */
	if (r >= 0 && dir >= 0)
		r = fs_write_atomic(dir, name, entry, size, 0600, false);
	if (r < 0 || dir < 0)
		log_debug("seccomp: %s: filter not kept: %s", configured.cache_dir,
			  strerror(r < 0 ? -r : ENOENT));
}

/* ---- compiler ---- */

/* Runs masu-seccomp with these as its streams; its exit status (or 128 + signal), or -errno. */
static int run_compiler(int in, int out, int err_fd)
{
	posix_spawn_file_actions_t actions;
	char *argv[] = { (char *)"masu-seccomp", NULL };
	char *envp[] = { NULL };
	pid_t pid;
	int status, r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, err_fd, STDERR_FILENO);
	if (r == 0)
		r = posix_spawn(&pid, configured.compiler, &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Above the standard streams, which an embedding caller may have closed. */
static int scratch_file(const char *name)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0 || fd > STDERR_FILENO)
		return fd < 0 ? -errno : take_fd(&fd);
	int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return high < 0 ? -errno : high;
}

static int compiler_failed(int status, int messages, struct masu_error *err)
{
	char line[512];
	ssize_t n = pread(messages, line, sizeof(line) - 1, 0);
	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (status == 1 && *line)
		return error_set(err, -EINVAL, "%s", line);
	return error_set(err, -EINVAL, "seccomp: %s failed with status %d%s%s", configured.compiler,
			 status, *line ? ": " : "", line);
}

int seccomp_import(struct arena *arena, int fd, const struct oci_seccomp *section,
		   struct seccomp_filter **ret, struct masu_error *err)
{
	struct seccomp_answer answer;
	if (pread(fd, &answer, sizeof(answer), 0) != (ssize_t)sizeof(answer) ||
	    memcmp(answer.magic, SECCOMP_ANSWER_MAGIC, sizeof(answer.magic)) != 0 ||
	    answer.insn_count == 0 || answer.insn_count > SECCOMP_MAX_INSNS)
		return error_set(err, -EPROTO, "seccomp: %s gave no filter; is it of this version?",
				 configured.compiler);
	size_t size = answer.insn_count * sizeof(struct sock_filter);
	struct sock_filter *insns = arena_alloc(arena, size);
	struct seccomp_filter *filter =
		insns ? make_filter(arena, section, insns, answer.insn_count, answer.notify) : NULL;
	if (!filter)
		return error_set(err, -ENOMEM, "seccomp: out of memory");
	if (pread(fd, insns, size, sizeof(answer)) != (ssize_t)size)
		return error_set(err, -EPROTO, "seccomp: %s gave half a filter",
				 configured.compiler);
	*ret = filter;
	return 0;
}

int seccomp_export(const struct seccomp_filter *filter, int fd)
{
	struct seccomp_answer answer = { .magic = SECCOMP_ANSWER_MAGIC,
					 .notify = filter->notify,
					 .insn_count = filter->program.len };
	size_t size = answer.insn_count * sizeof(struct sock_filter);
	int r = fs_write_all(fd, &answer, sizeof(answer));
	return r < 0 ? r : fs_write_all(fd, filter->program.filter, size);
}

static int compile(struct arena *arena, const struct oci_seccomp *section,
		   struct seccomp_filter **ret, struct masu_error *err)
{
	_cleanup_close_ int in = scratch_file("seccomp-section");
	_cleanup_close_ int out = scratch_file("seccomp-filter");
	_cleanup_close_ int messages = scratch_file("seccomp-messages");
	if (in < 0 || out < 0 || messages < 0)
		return error_errno(err,
				   in < 0    ? in
				   : out < 0 ? out
					     : messages,
				   "seccomp: cannot make a memory file");
	int r = fs_write_all(in, section->source, section->source_len);
	if (r == 0 && lseek(in, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		return error_errno(err, r, "seccomp: cannot hand over the section");
	r = run_compiler(in, out, messages);
	if (r < 0)
		return error_errno(err, r, "seccomp: cannot run %s; is masu installed completely?",
				   configured.compiler);
	if (r > 0)
		return compiler_failed(r, messages, err);
	return seccomp_import(arena, out, section, ret, err);
}

int seccomp_prepare(struct arena *arena, const struct oci_seccomp *section,
		    struct seccomp_filter **ret, struct masu_error *err)
{
	struct seccomp_cache_header expected;
	struct seccomp_filter *filter = NULL;
	char name[CACHE_NAME_MAX];
	if (!section->present) {
		*ret = NULL;
		return 0;
	}
	if (section->source_len > SECCOMP_MAX_SECTION)
		return error_set(err, -E2BIG, "seccomp: the section is larger than %u bytes",
				 SECCOMP_MAX_SECTION);
	if (!configured.compiler)
		return error_set(err, -ENOENT, "seccomp: masu-seccomp is not installed");
	int r = expected_header(section, &expected);
	if (r < 0)
		return error_errno(err, r, "seccomp: %s; is masu installed completely?",
				   configured.compiler);
	bool cached = configured.cache_dir && cache_name(name, section);
	if (cached)
		filter = cache_lookup(arena, name, section, &expected);
	if (!filter) {
		r = compile(arena, section, &filter, err);
		if (r < 0)
			return r;
		if (cached)
			cache_store(name, section, filter, expected);
	}
	if (filter->notify && !section->listener_path)
		return error_set(err, -EINVAL,
				 "seccomp: SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath");
	*ret = filter;
	return 0;
}

int seccomp_enter(const struct seccomp_filter *filter, int *ret_listener, struct masu_error *err)
{
	unsigned long flags = filter->flags;
	if (filter->notify) {
		flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
		if (flags & SECCOMP_FILTER_FLAG_TSYNC)
			flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH; /* required with both */
	}
	long r = sys_ret(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter->program));
	if (r < 0)
		return error_errno(err, (int)r, "seccomp: cannot load the filter%s",
				   r == -EACCES ? " without CAP_SYS_ADMIN or noNewPrivileges" : "");
	*ret_listener = filter->notify ? (int)r : -1;
	return 0;
}
