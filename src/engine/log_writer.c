#include "engine/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "engine/trim.h"
#include "sys/fs.h"

#define STACK_SIZE    (128u << 10)
#define DROPPED_FILE  "log-dropped"
#define NUMBER_MAX    32
#define PUT_OFF_MAX   4096 /* so that it fits into the ring with more to come */
#define ALIGN(length) (((length) + 15) & ~(size_t)15)

/* In front of each piece of the ring. ENTRY_WRAP: it goes on at its beginning. */
enum { ENTRY_STDOUT = 1, ENTRY_STDERR, ENTRY_GAP, ENTRY_WRAP };
struct entry {
	uint32_t len;
	uint32_t kind;
	uint64_t time;
};

/* Pages of their own, and none in use while there is no thread. */
static char stack[STACK_SIZE] __attribute__((aligned(4096)));
static char line_space[2][LOG_LINE_MAX] __attribute__((aligned(4096)));
/* For output that is not kept. */
static char scratch[LOG_CHUNK] __attribute__((aligned(4096)));

int log_writer_open(struct log_writer *w, const struct container *container, struct masu_error *err)
{
	const struct container_config *config = &container->config;
	struct log_options options;
	int r = log_options_parse(config->log_driver, config->log_options, config->log_option_count,
				  &options, err);
	w->enabled = false;
	for (int i = 0; i < 2; i++)
		w->lines[i] = (struct log_stream) { .line = line_space[i] };
	w->run_fd = -1;
	w->ready_fd = -1;
	if (r == 0)
		r = log_open(&w->log, &options, container, err);
	if (r < 0)
		return r;
	w->enabled = options.ops != &log_none;
	w->run_fd = fcntl(container->run_fd, F_DUPFD_CLOEXEC, 3);
	for (w->size = LOG_CHUNK; w->size < options.buffer_size; w->size *= 2)
		;
	return 0;
}

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
	syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* ---- the thread ---- */

static void count_failed(struct log_writer *w)
{
	if (w->log.lost)
		atomic_fetch_add(&w->failed, w->log.lost);
	w->log.lost = 0;
}

/* A line of masu's own in the log. */
static void put_note(struct log_writer *w, uint64_t lines, uint64_t time, const char *why)
{
	char text[128];
	int len = snprintf(text, sizeof(text), "masu: %llu lines are missing here: %s\n",
			   (unsigned long long)lines, why);
	const struct log_record record = {
		.stream = 2, .time = time, .data = text, .len = (size_t)len
	};
	w->log.ops->put(&w->log, &record);
}

static void put_gap(struct log_writer *w, const struct log_gap *gap, uint64_t time)
{
	for (int i = 0; i < 2; i++) {
		struct log_stream *stream = &w->lines[i];
		if (!gap->touched[i])
			continue;
		/* What is there of the line ends here; what comes of it is not its end. */
		if (stream->len == LOG_LINE_MAX)
			log_lines_end(&w->log, stream, i + 1);
		if (stream->len)
			stream->line[stream->len++] = '\n';
		log_lines_end(&w->log, stream, i + 1);
		stream->skip = gap->open[i];
	}
	put_note(w, gap->lines, time, "the log could not be written fast enough");
}

static void put_output(struct log_writer *w, int number, uint64_t time, const char *data,
		       size_t len)
{
	uint64_t failed = w->log.failed;
	/* It can be written again, it seems. */
	if (failed) {
		w->log.failed = 0;
		put_note(w, failed, time, "the log could not be written");
		w->log.ops->flush(&w->log);
		if (w->log.failed) {
			w->log.failed += failed - 1; /* the note itself is no loss */
			w->log.lost--;
		}
	}
	log_lines_put(&w->log, &w->lines[number - 1], number, time, data, len);
	count_failed(w);
}

/* One entry of the ring; false: it is empty. */
static bool take_one(struct log_writer *w)
{
	size_t tail = atomic_load_explicit(&w->tail, memory_order_relaxed);
	if (tail == atomic_load(&w->head))
		return false;
	const char *at = w->ring + (tail & (w->size - 1));
	struct entry entry;
	memcpy(&entry, at, sizeof(entry));
	const char *data = at + sizeof(entry);
	size_t used = ALIGN(sizeof(entry) + entry.len);
	if (entry.kind == ENTRY_WRAP) {
		used = w->size - (tail & (w->size - 1));
	} else if (entry.kind == ENTRY_GAP) {
		struct log_gap gap;
		memcpy(&gap, data, sizeof(gap));
		put_gap(w, &gap, entry.time);
	} else {
		put_output(w, (int)entry.kind, entry.time, data, entry.len);
	}
	atomic_store(&w->tail, tail + used);
	/* Not at once, so that whoever waits does not wait for each piece. */
	if (atomic_load(&w->waiting) && atomic_load(&w->head) - tail - used <= w->size / 2 &&
	    atomic_exchange(&w->waiting, false))
		eventfd_write(w->ready_fd, 1);
	return true;
}

static void take_all(struct log_writer *w)
{
	while (take_one(w))
		;
	w->log.ops->flush(&w->log);
	count_failed(w);
}

static void *thread_main(void *opaque)
{
	struct log_writer *w = opaque;
	/* The monitor alone has its working directory, so it may join namespaces. */
	unshare(CLONE_FS);
	for (;;) {
		take_all(w);
		atomic_store(&w->asleep, 1);
		if (atomic_load(&w->head) != atomic_load(&w->tail)) {
			atomic_store(&w->asleep, 0);
			continue;
		}
		if (atomic_load(&w->stop))
			return NULL;
		while (atomic_load(&w->asleep))
			futex(&w->asleep, FUTEX_WAIT, 1);
	}
}

/* ---- the monitor ---- */

static void wake(struct log_writer *w)
{
	if (atomic_exchange(&w->asleep, 0))
		futex(&w->asleep, FUTEX_WAKE, 1);
}

static int start_thread(struct log_writer *w)
{
	pthread_attr_t attributes;
	atomic_store(&w->stop, false);
	atomic_store(&w->asleep, 0);
	pthread_attr_init(&attributes);
	int r = pthread_attr_setstack(&attributes, stack, sizeof(stack));
	if (r == 0)
		r = pthread_create(&w->thread, &attributes, thread_main, w);
	pthread_attr_destroy(&attributes);
	w->running = r == 0;
	return -r;
}

static void stop_thread(struct log_writer *w)
{
	if (!w->running)
		return;
	atomic_store(&w->stop, true);
	wake(w);
	pthread_join(w->thread, NULL);
	w->running = false;
}

/* ---- what was lost ---- */

static uint64_t read_dropped(int dir_fd)
{
	char text[NUMBER_MAX];
	uint64_t count;
	if (dir_fd < 0 || fs_read_small(dir_fd, DROPPED_FILE, text, sizeof(text)) < 0 ||
	    str_to_u64(text, &count) < 0)
		return 0;
	return count;
}

/* While the container lives the count is beside its socket, where no disk is full; after that with
 * its record. */
uint64_t log_dropped_read(const struct container *container)
{
	uint64_t live = read_dropped(container->run_fd), kept = read_dropped(container->dir_fd);
	return live > kept ? live : kept;
}

static void tell_dropped(struct log_writer *w, bool at_end)
{
	uint64_t dropped = w->gone + atomic_load(&w->failed);
	char text[NUMBER_MAX];
	if (dropped == w->told && !(at_end && dropped))
		return;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)(w->before + dropped));
	if (w->run_fd >= 0)
		fs_rewrite(w->run_fd, DROPPED_FILE, text, strlen(text), 0600);
	if (at_end && fs_rewrite(w->log.dir_fd, DROPPED_FILE, text, strlen(text), 0600) == 0) {
		w->before += dropped;
		w->gone = 0;
		atomic_store(&w->failed, 0);
		dropped = 0;
	}
	w->told = dropped;
}

static bool make_ring(struct log_writer *w)
{
	if (w->ring)
		return true;
	void *ring = mmap(NULL, w->size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	w->ring = ring == MAP_FAILED ? NULL : ring;
	w->before = read_dropped(w->log.dir_fd);
	return w->ring;
}

static struct entry *entry_at(const struct log_writer *w, size_t position)
{
	return (struct entry *)(void *)(w->ring + (position & (w->size - 1)));
}

/* Room for an entry of @len bytes in one piece; NULL: there is none now. */
static char *find_room(const struct log_writer *w, size_t len)
{
	size_t head = atomic_load_explicit(&w->head, memory_order_relaxed);
	size_t free = w->size - (head - atomic_load(&w->tail));
	size_t need = ALIGN(sizeof(struct entry) + len), left = w->size - (head & (w->size - 1));
	if (left < need) { /* at the beginning, then */
		free = free > left ? free - left : 0;
		head += left;
	}
	/* Never quite full: a full ring would look like an empty one. */
	return free > need ? (char *)(entry_at(w, head) + 1) : NULL;
}

/* The entry at @room, which find_room() found, is complete. */
static void publish(struct log_writer *w, char *room, uint32_t kind, size_t len)
{
	size_t head = atomic_load_explicit(&w->head, memory_order_relaxed);
	struct entry *entry = (struct entry *)(void *)room - 1;
	*entry = (struct entry) { .len = (uint32_t)len, .kind = kind, .time = log_time_now() };
	if (entry != entry_at(w, head)) {
		entry_at(w, head)->kind = ENTRY_WRAP;
		head += w->size - (head & (w->size - 1));
	}
	atomic_store(&w->head, head + ALIGN(sizeof(*entry) + len));
	/* Of the first piece nothing is made at once: if that was all, it takes no thread. */
	if (!w->running && !w->put_off && len <= PUT_OFF_MAX)
		w->put_off = true;
	else
		log_writer_go(w);
}

void log_writer_go(struct log_writer *w)
{
	w->put_off = false;
	/* Without a thread (there is no memory for it) it is written here. */
	if (!w->running && start_thread(w) < 0)
		take_all(w);
	else
		wake(w);
}

static bool has_gap(const struct log_writer *w)
{
	return w->gap.lines || w->gap.bytes;
}

/* Says what is missing, before anything else. false: there is no room for that either. */
static bool publish_gap(struct log_writer *w)
{
	char *room = has_gap(w) ? find_room(w, sizeof(w->gap)) : NULL;
	if (!room)
		return !has_gap(w);
	memcpy(room, &w->gap, sizeof(w->gap));
	w->gap = (struct log_gap) { 0 };
	publish(w, room, ENTRY_GAP, sizeof(w->gap));
	tell_dropped(w, false);
	return true;
}

/* A place in the ring, NULL where it is too full. After a loss it is not taken up again for a
 * single piece. */
static char *find_chunk(struct log_writer *w, size_t chunk)
{
	if (has_gap(w) && (!find_room(w, w->size / 8) || !publish_gap(w)))
		return NULL;
	return find_room(w, chunk);
}

char *log_writer_reserve(struct log_writer *w, size_t *ret_room)
{
	size_t chunk = LOG_CHUNK < w->size / 8 ? LOG_CHUNK : w->size / 8;
	*ret_room = sizeof(scratch);
	w->room = NULL;
	if (!w->enabled || !make_ring(w))
		return scratch;
	w->room = find_chunk(w, chunk);
	if (!w->room && !w->log.options.non_blocking && !w->stalled && log_writer_wait_fd(w) >= 0) {
		/* It may have got on before it was told that somebody waits. */
		atomic_store(&w->waiting, true);
		w->room = find_chunk(w, chunk);
		if (!w->room)
			return NULL;
		atomic_store(&w->waiting, false);
	}
	if (!w->room)
		return scratch;
	w->stalled = false;
	*ret_room = chunk;
	return w->room;
}

static void add_to_gap(struct log_writer *w, int stream, const char *data, size_t len)
{
	const char *end = data + len, *newline;
	uint64_t lines = 0;
	for (const char *p = data; (newline = memchr(p, '\n', (size_t)(end - p))); p = newline + 1)
		lines++;
	bool open = end[-1] != '\n';
	/* A line that ends in here was counted when its beginning was lost. */
	if (w->gap.touched[stream - 1] && w->gap.open[stream - 1] && lines)
		lines--;
	else if (w->gap.touched[stream - 1] && w->gap.open[stream - 1])
		open = false;
	lines += open;
	w->gap.lines += lines;
	w->gone += lines;
	if (!w->gap.bytes || w->gap.bytes >> 20 != (w->gap.bytes + len) >> 20)
		tell_dropped(w, false);
	w->gap.bytes += len;
	w->gap.touched[stream - 1] = true;
	w->gap.open[stream - 1] = end[-1] != '\n';
}

void log_writer_commit(struct log_writer *w, int stream, size_t len)
{
	if (w->room)
		publish(w, w->room, stream == 2 ? ENTRY_STDERR : ENTRY_STDOUT, len);
	else if (w->enabled)
		add_to_gap(w, stream, scratch, len);
	w->room = NULL;
}

int log_writer_wait_fd(struct log_writer *w)
{
	if (w->ready_fd < 0)
		w->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return w->ready_fd < 0 ? -errno : w->ready_fd;
}

void log_writer_ready(struct log_writer *w)
{
	eventfd_t count;
	eventfd_read(w->ready_fd, &count);
}

void log_writer_stalled(struct log_writer *w)
{
	w->stalled = true;
}

/* ---- rest and end ---- */

static bool is_idle(const struct log_writer *w)
{
	return !w->running ||
	       (atomic_load(&w->asleep) && atomic_load(&w->head) == atomic_load(&w->tail));
}

bool log_writer_rest(struct log_writer *w)
{
	if (w->put_off)
		log_writer_go(w);
	if (!is_idle(w))
		return false;
	if (has_gap(w)) {
		publish_gap(w);
		return false;
	}
	stop_thread(w);
	tell_dropped(w, false);
	if (w->ring)
		madvise(w->ring, w->size, MADV_DONTNEED);
	trim_range(stack, sizeof(stack));
	trim_range(scratch, sizeof(scratch));
	for (unsigned i = 0; i < 2; i++)
		if (w->lines[i].len == 0)
			trim_range(w->lines[i].line, LOG_LINE_MAX);
	if (w->enabled && w->log.ops->rest)
		w->log.ops->rest(&w->log);
	return true;
}

void log_writer_finish(struct log_writer *w)
{
	if (!w->enabled)
		return;
	stop_thread(w); /* which takes everything first */
	if (w->put_off)
		take_all(w);
	w->put_off = false;
	if (has_gap(w))
		put_gap(w, &w->gap, log_time_now());
	w->gap = (struct log_gap) { 0 };
	for (int i = 0; i < 2; i++)
		log_lines_end(&w->log, &w->lines[i], i + 1);
	w->log.ops->flush(&w->log);
	count_failed(w);
	tell_dropped(w, true);
}

void log_writer_close(struct log_writer *w)
{
	stop_thread(w);
	log_close(&w->log);
	cleanup_close(&w->run_fd);
	cleanup_close(&w->ready_fd);
	if (w->ring)
		munmap(w->ring, w->size);
	w->ring = NULL;
	w->enabled = false;
}
