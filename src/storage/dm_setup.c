#include "storage/dm_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define MESSAGE_MAX  256
#define ARGS_MAX     64
#define SUPERBLOCK   4096 /* of a pool's metadata */
#define RECORD_LIMIT 16384
/* Blocks of a page, however small the device is: symbolic links are as long as a block. */
#define FORMAT_ARGS                                                                                \
	"-q", "-F", "-b", "4096", "-m", "0", "-E",                                                 \
		"nodiscard,lazy_itable_init=1,lazy_journal_init=1"

bool dm_supported(int root_fd, const char **reason)
{
	_cleanup_close_ int control = dm_open_control();
	if (control == -ENOENT)
		*reason = "this kernel has no device mapper (" DM_CONTROL
			  " is missing); where it is a module, load dm-mod";
	else if (control == -ENODEV || control == -ENXIO)
		*reason = "this kernel has no device mapper, and no module dm-mod";
	else if (control < 0)
		*reason = DM_CONTROL " cannot be opened";
	else if (dm_has_target(control, "thin-pool") < 0)
		*reason = "this kernel has no thin pools, and no module dm-thin-pool";
	else
		return true;
	return false;
}

/* ---- the filesystem ---- */

static const char *find_program(const char *fs, char ret[64])
{
	static const char *const places[] = { "/usr/sbin", "/sbin", "/usr/bin", "/bin" };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (str_format(ret, 64, "%s/mkfs.%s", places[i], fs) == 0 && access(ret, X_OK) == 0)
			return ret;
	return NULL;
}

static _Noreturn void become(const char *program, const char *const *argv, int out)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0 &&
	    dup2(out, STDERR_FILENO) >= 0)
		execv(program, (char *const *)argv);
	_exit(127);
}

/* The last line of what it said. */
static void read_message(int fd, char ret[MESSAGE_MAX])
{
	size_t len = 0;
	ssize_t got;
	char more;
	while (len < MESSAGE_MAX - 1 && (got = read(fd, ret + len, MESSAGE_MAX - 1 - len)) > 0)
		len += (size_t)got;
	while (read(fd, &more, 1) == 1)
		;
	while (len > 0 && ret[len - 1] == '\n')
		len--;
	ret[len] = '\0';
	char *last = strrchr(ret, '\n');
	if (last)
		memmove(ret, last + 1, strlen(last + 1) + 1);
}

static int run_mkfs(const char *program, const char *const *argv, struct masu_error *err)
{
	int ends[2], status = 0;
	char message[MESSAGE_MAX];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "%s", program);
	pid_t pid = fork();
	if (pid == 0)
		become(program, argv, ends[1]);
	int failed = pid < 0 ? -errno : 0;
	close(ends[1]);
	read_message(ends[0], message);
	close(ends[0]);
	if (failed < 0)
		return error_errno(err, failed, "%s", program);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return error_set(err, -EIO, "%s: %s", program,
			 *message ? message : "it failed without a word");
}

static int make_filesystem(const struct dm_options *options, dev_t dev, struct masu_error *err)
{
	static const char *const ext4[] = { FORMAT_ARGS };
	static const char *const xfs[] = { "-q", "-f", "-K" };
	bool is_xfs = streq(options->fs, "xfs");
	const char *argv[ARGS_MAX + 4];
	char program[64], node[DM_NODE_MAX], words[DM_MKFS_ARG_MAX], *state = NULL;
	size_t count = 0, fixed = is_xfs ? ARRAY_SIZE(xfs) : ARRAY_SIZE(ext4);
	if (!find_program(options->fs, program))
		return error_set(
			err, -ENOENT,
			"storage driver devicemapper: there is no mkfs.%s, which makes the "
			"pool's first filesystem; install %s",
			options->fs, is_xfs ? "xfsprogs" : "e2fsprogs");
	argv[count++] = program;
	for (size_t i = 0; i < fixed; i++)
		argv[count++] = is_xfs ? xfs[i] : ext4[i];
	memcpy(words, options->mkfs_arg, sizeof(words));
	for (char *word = strtok_r(words, " ", &state); word; word = strtok_r(NULL, " ", &state)) {
		if (count == ARGS_MAX)
			return error_set(err, -E2BIG, "--storage-opt dm.mkfsarg: too many words");
		argv[count++] = word;
	}
	argv[count++] = dm_node(dev, node);
	argv[count] = NULL;
	return run_mkfs(program, argv, err);
}

/* The tree of a container is all of the filesystem, and an image has no lost+found. */
static int empty_filesystem(struct dm_pool *pool, int node_dir, struct masu_error *err)
{
	_cleanup_close_ int root = -1;
	int r = dm_device_look(pool, node_dir, false, &root);
	if (r == 0 && unlinkat(root, "lost+found", AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0 && (fchmod(root, 0755) < 0 || syncfs(root) < 0))
		r = -errno;
	return r < 0 ? error_errno(err, r, "storage driver devicemapper: the first filesystem") : 0;
}

/* ---- what was there ---- */

/* Devices of a set-up that was killed; nothing is on them. */
static int delete_leftovers(struct dm_pool *pool)
{
	static const char *const places[] = { DM_IDS, DM_DOOMED };
	_cleanup_arena_ struct arena arena;
	arena_init(&arena, 64u << 20);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_close_ int dir = openat(pool->dir_fd, places[i],
						 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		const char **names;
		size_t count = 0;
		uint32_t id;
		int r = dir < 0 ? 0 : fs_names(dir, &arena, &names, &count);
		for (size_t n = 0; r == 0 && n < count; n++) {
			if (pool->node >= 0 && str_to_u32(names[n], &id) == 0)
				dm_pool_message(pool, "delete %" PRIu32, id);
			if (unlinkat(dir, names[n], 0) < 0)
				r = -errno;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int make_file(struct dm_pool *pool, const char *name, uint64_t size, struct masu_error *err)
{
	if (unlinkat(pool->dir_fd, name, 0) < 0 && errno != ENOENT)
		return error_errno(err, -errno, DM_OWN_DIR "/%s", name);
	_cleanup_close_ int fd =
		openat(pool->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return error_errno(err, -errno, DM_OWN_DIR "/%s", name);
	return 0;
}

/* A device with something on it may be somebody's. */
static int check_metadata(const char *path, struct masu_error *err)
{
	static const unsigned char zero[SUPERBLOCK];
	unsigned char block[SUPERBLOCK];
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC); /* lint: ok */
	if (fd < 0 || pread(fd, block, sizeof(block), 0) != sizeof(block))
		return error_errno(err, errno ? -errno : -EIO, "dm.metadatadev %s", path);
	if (memcmp(block, zero, sizeof(block)) == 0)
		return 0;
	return error_set(err, -EEXIST,
			 "dm.metadatadev %s is not empty; if nothing on it is needed: dd "
			 "if=/dev/zero of=%s bs=4k count=1",
			 path, path);
}

static int provide(struct dm_pool *pool, struct masu_error *err)
{
	const struct dm_options *o = &pool->record.options;
	if (*o->thinpool)
		return 0;
	if (*o->data)
		return check_metadata(o->metadata, err);
	int r = delete_leftovers(pool);
	if (r < 0)
		return error_errno(err, r, DM_OWN_DIR "/" DM_IDS);
	r = make_file(pool, DM_METADATA, o->loop_metadata_size, err);
	return r < 0 ? r : make_file(pool, DM_DATA, o->loop_data_size, err);
}

/* ---- all of it ---- */

/* @place: a directory for the base device's record. */
static int make_base(struct dm_pool *pool, int place, struct masu_error *err)
{
	const struct dm_options *o = &pool->record.options;
	struct dm_device_record base;
	char text[DM_RECORD_MAX];
	dev_t dev;
	int r = dm_device_make_empty(pool, o->base_size / DM_SECTOR, &base, err);
	if (r < 0)
		return r;
	pool->record.base_id = base.id;
	_cleanup_close_ int node = -1;
	r = dm_device_open(pool, &base, O_RDWR, &node, &dev);
	if (r < 0)
		return error_errno(err, r, "storage driver devicemapper: the first device");
	r = make_filesystem(o, dev, err);
	dm_device_close(pool, &base, &node);
	if (r < 0)
		return r;
	r = dm_device_record_write(&base, text);
	if (r == 0)
		r = fs_write_atomic(place, DM_DEVICE, text, strlen(text), 0600, false);
	return r < 0 ? error_errno(err, r, DM_DEVICE) : empty_filesystem(pool, place, err);
}

static int check_unused(struct dm_pool *pool, struct masu_error *err)
{
	struct dm_pool_status status;
	uint64_t block;
	int r = dm_pool_status(pool, &status, &block, err);
	if (r < 0)
		return r;
	if (status.mode != DM_POOL_WRITE || status.needs_check)
		return error_set(err, -EIO,
				 "storage driver devicemapper: the pool is damaged or "
				 "full; dmesg says more");
	if (status.transaction_id)
		return error_set(err, -EBUSY,
				 "storage driver devicemapper: the pool is in use by another root "
				 "or by Docker (its transaction id is %" PRIu64 "); give this root "
				 "one of its own",
				 status.transaction_id);
	r = delete_leftovers(pool);
	return r < 0 ? error_errno(err, r, DM_OWN_DIR "/" DM_IDS) : 0;
}

static int write_record(struct dm_pool *pool, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	uint32_t token;
	buf_init(&text, RECORD_LIMIT);
	if (getrandom(&token, sizeof(token), 0) != sizeof(token))
		return error_errno(err, -EIO, "random number");
	pool->record.token = (uint64_t)token + 1;
	int r = dm_pool_record_write(&pool->record, &text);
	if (r == 0)
		r = fs_write_atomic(pool->dir_fd, DM_POOL_RECORD, text.data, text.len, 0600, true);
	if (r == 0)
		r = dm_pool_message(pool, "set_transaction_id 0 %" PRIu64, pool->record.token);
	return r < 0 ? error_errno(err, r, DM_OWN_DIR "/" DM_POOL_RECORD) : 0;
}

static int set_up(struct dm_pool *pool, struct masu_error *err)
{
	_cleanup_close_ int lock = openat(pool->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		return error_errno(err, -errno, DM_OWN_DIR);
	if (unlinkat(pool->dir_fd, DM_POOL_RECORD, 0) < 0 && errno != ENOENT)
		return error_errno(err, -errno, DM_OWN_DIR "/" DM_POOL_RECORD);
	int r = provide(pool, err);
	if (r == 0)
		r = dm_pool_activate(pool, err);
	if (r == 0)
		r = check_unused(pool, err);
	if (r == 0)
		r = make_base(pool, pool->dir_fd, err);
	if (r == 0)
		r = write_record(pool, err);
	/* Only a mount asked for it. */
	unlinkat(pool->dir_fd, DM_DEVICE, 0);
	if (r < 0 && pool->node >= 0)
		delete_leftovers(pool);
	return r;
}

int dm_set_up(int root_fd, const char *options, struct masu_error *err)
{
	struct dm_pool pool = DM_POOL_CLOSED;
	int r = dm_options_parse(options, &pool.record.options, err);
	if (r < 0)
		return r;
	r = dm_pool_prepare(root_fd, &pool, err);
	if (r == 0)
		r = set_up(&pool, err);
	dm_pool_close(&pool);
	if (r < 0 && !*pool.record.options.data && !*pool.record.options.thinpool)
		fs_remove_tree(root_fd, DM_OWN_DIR);
	return r;
}

int dm_retire(struct dm_pool *pool, struct masu_error *err)
{
	bool in_files = !*pool->record.options.data && !*pool->record.options.thinpool;
	int root_fd = pool->root_fd, r = 0;
	if (!in_files) {
		r = dm_device_doom(pool, pool->record.base_id);
		if (r == 0)
			r = dm_device_reap(pool);
		/* Somebody else's from now on. */
		if (r == 0)
			r = dm_pool_message(pool, "set_transaction_id %" PRIu64 " 0",
					    pool->record.token);
		if (r < 0)
			return error_errno(err, r, "storage driver devicemapper: the pool");
	}
	dm_pool_close(pool);
	r = fs_remove_tree(root_fd, DM_OWN_DIR);
	return r < 0 ? error_errno(err, r, DM_OWN_DIR) : 0;
}
